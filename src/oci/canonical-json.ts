import { WorkerError } from '../errors/index.ts';

/** JSON with the keys in the order given, no white space, absent fields left out: equal values give equal bytes. */
export function canonicalJson(value: unknown): Uint8Array {
  // TypeScript says stringify always gives a string; for undefined and functions it does not.
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new WorkerError('INTERNAL', `a ${typeof value} has no JSON form`);
  return Buffer.from(text);
}
