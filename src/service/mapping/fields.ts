import { WorkerError } from '../../errors/index.ts';

/** A wrong field of a call. `field` is its name in the .proto file. */
export function wrongField(field: string, why: string): WorkerError {
  return new WorkerError('REQUEST_INVALID', `${field} ${why}`, { field });
}

/** A 64-bit field as a number. Throws REQUEST_INVALID beyond 2^53: no size, time or cursor of ours is as large. */
export function safeNumber(value: bigint, field: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw wrongField(field, `${value} is larger than 2^53 - 1`);
  return Number(value);
}

/** Proto3 has no absent text: empty stands for it. */
export function given(text: string): string | undefined {
  return text === '' ? undefined : text;
}

/** Counts have no sign; a number that is none (a broken clock, a rounding) must not end a call. */
export function wireNumber(value: number): bigint {
  return BigInt(Math.max(0, Math.trunc(Number.isFinite(value) ? value : 0)));
}

/** A text of bounded length. Throws REQUEST_INVALID. */
export function boundedText(text: string, field: string, most: number): string {
  if (text.length > most) throw wrongField(field, `is longer than ${most} characters`);
  return text;
}

/** A text that must be there. Throws REQUEST_INVALID. */
export function requiredText(text: string, field: string, most = 256): string {
  if (text === '') throw wrongField(field, 'is empty');
  return boundedText(text, field, most);
}

export function dateOf(timeMs: number): Date;
export function dateOf(timeMs: number | undefined): Date | undefined;
export function dateOf(timeMs: number | undefined): Date | undefined {
  return timeMs === undefined ? undefined : new Date(timeMs);
}
