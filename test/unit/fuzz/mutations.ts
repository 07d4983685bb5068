import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { WorkerError } from '../../../src/errors/index.ts';

const CORPUS = join(import.meta.dirname, '../../fuzz-corpus');

/** How often a property is tried; scripts/soak.sh asks for more. */
export const FUZZ_RUNS = Number(process.env['CLIPYARD_FUZZ_RUNS'] ?? 400);

/** The committed inputs of a fuzz target, which the Rust targets start from too. */
export function corpusOf(target: string): readonly Buffer[] {
  const directory = join(CORPUS, target);
  return readdirSync(directory).map((name) => readFileSync(join(directory, name)));
}

const where = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('byte' as const), where, value: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('bit' as const), where, value: fc.integer({ min: 0, max: 7 }) }),
  fc.record({ kind: fc.constant('cut' as const), where, value: fc.integer({ min: 1, max: 700 }) }),
  fc.record({ kind: fc.constant('double' as const), where, value: fc.integer({ min: 1, max: 700 }) }),
  fc.record({
    kind: fc.constant('number' as const),
    where,
    value: fc.constantFrom(0, 1, 255, 65_535, 2 ** 31, 2 ** 32 - 1),
  }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

/** An input of a corpus, by its number, and a few changes: bytes, bits and numbers set, stretches cut out or doubled. */
export const changes = fc.record({
  input: fc.nat(),
  mutations: fc.array(mutation, { minLength: 0, maxLength: 8 }),
});
export type Changes = typeof changes extends fc.Arbitrary<infer T> ? T : never;

export function changed(corpus: readonly Buffer[], { input, mutations }: Changes): Buffer {
  const bytes = corpus[input % corpus.length] ?? Buffer.alloc(0);
  return mutations.reduce<Buffer>(mutate, Buffer.from(bytes));
}

function mutate(bytes: Buffer, { kind, value, where: at }: Mutation): Buffer {
  const offset = Math.floor(at * bytes.length);
  switch (kind) {
    case 'byte':
      if (offset < bytes.length) bytes[offset] = value;
      return bytes;
    case 'bit':
      if (offset < bytes.length) bytes[offset] = (bytes[offset] ?? 0) ^ (1 << value);
      return bytes;
    case 'number':
      if (offset + 4 <= bytes.length) bytes.writeUInt32LE(value, offset);
      return bytes;
    case 'cut':
      return Buffer.concat([bytes.subarray(0, offset), bytes.subarray(offset + value)]);
    case 'double':
      return Buffer.concat([bytes.subarray(0, offset + value), bytes.subarray(offset)]);
  }
}

/** Whatever a parser makes of the bytes: a value, or one of our errors. Anything else comes through. */
export async function onlyCoded(parse: () => unknown): Promise<void> {
  try {
    await parse();
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code === 'INTERNAL') throw thrown;
  }
}

/** Splits an input of several parts, each behind its length (u32, little-endian). */
export function partsOf(input: Buffer, count: number): readonly Buffer[] {
  let at = 0;
  return Array.from({ length: count }, () => {
    const length = at + 4 <= input.length ? input.readUInt32LE(at) : 0;
    const part = input.subarray(Math.min(at + 4, input.length), Math.min(at + 4 + length, input.length));
    at += 4 + part.length;
    return part;
  });
}
