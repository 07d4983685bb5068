import { corrupt } from '../failure.ts';
import { BLOCK_BYTES } from './header.ts';
import { decimal, headerNumber } from './numbers.ts';
import { type PaxRecords, SPARSE_MAP } from './pax.ts';

/** A stretch of a sparse file that has data. */
export interface Stretch {
  readonly offset: number;
  readonly length: number;
}

/** A sparse map as it was read: offsets and lengths, not yet checked. */
export type SparsePairs = readonly (readonly [offset: bigint, length: bigint])[];

const PAIR_BYTES = 24;
/** Where the pairs of an old GNU map stand in an entry's header, and in a block of more. */
const GNU_PLACES = { header: { start: 386, count: 4 }, extension: { start: 0, count: 21 } } as const;

/** Where the map of a sparse file is that PAX records announce: in them (0.0, 0.1) or before its data (1.0). */
export function announcedMap(records: PaxRecords): 'records' | 'data' | undefined {
  const [major, minor] = ['major', 'minor'].map((part) => records.get(`GNU.sparse.${part}`) ?? '');
  if (major === '0' && (minor === '0' || minor === '1')) return 'records';
  if (major === '1' && minor === '0') return 'data';
  return major === '' && minor === '' && (records.get(SPARSE_MAP) ?? '') !== '' ? 'records' : undefined;
}

/** Throws LAYER_CORRUPT. */
export function mapOfRecords(records: PaxRecords): SparsePairs {
  const count = decimal(records.get('GNU.sparse.numblocks') ?? '');
  if (count === undefined || count < 0n) throw corrupt('the sparse map has no count');
  const map = records.get(SPARSE_MAP) ?? '';
  const pairs = pairsOf(map === '' ? [] : map.split(','));
  if (BigInt(pairs.length) !== count) throw corrupt('the sparse map has another length than its count');
  return pairs;
}

/** The pairs of one block of an old GNU map, and whether another block follows. */
export function gnuPairs(block: Buffer, place: keyof typeof GNU_PLACES): { pairs: SparsePairs; more: boolean } {
  const { start, count } = GNU_PLACES[place];
  const pairs: [bigint, bigint][] = [];
  for (let at = start; at < start + count * PAIR_BYTES && block[at] !== 0; at += PAIR_BYTES) {
    pairs.push([headerNumber(block.subarray(at, at + 12)), headerNumber(block.subarray(at + 12, at + PAIR_BYTES))]);
  }
  return { pairs, more: block[start + count * PAIR_BYTES] !== 0 };
}

/** The count at the start of the text map of format 1.0; undefined while its line is not complete. */
export function textMapCount(text: string): bigint | undefined {
  const newline = text.indexOf('\n');
  if (newline === -1) return undefined;
  const count = decimal(text.slice(0, newline));
  if (count === undefined || count < 0n) throw corrupt("the sparse map's count is no number");
  return count;
}

/** The text map of format 1.0: a count, then offsets and lengths, one number a line. */
export function mapOfText(text: string, count: number): SparsePairs {
  return pairsOf(text.split('\n').slice(1, 1 + 2 * count));
}

function pairsOf(numbers: readonly string[]): SparsePairs {
  if (numbers.length % 2 !== 0) throw corrupt('the sparse map has an odd number of values');
  const values = numbers.map((text) => {
    const value = decimal(text);
    if (value === undefined) throw corrupt('the sparse map holds something else than numbers');
    return value;
  });
  return Array.from({ length: values.length / 2 }, (_, at) => [values[2 * at] ?? 0n, values[2 * at + 1] ?? 0n]);
}

/** The stretches with data: inside the file, in order, empty ones left out, neighbours joined. */
export function stretchesOf(pairs: SparsePairs, sizeBytes: number): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let end = 0n;
  for (const [offset, length] of pairs) {
    if (offset < 0n || length < 0n) throw corrupt('the sparse map holds a negative number');
    if (offset < end || offset + length > BigInt(sizeBytes))
      throw corrupt('the sparse map is out of order or leaves the file');
    end = offset + length;
    const last = stretches.at(-1);
    if (length === 0n) continue;
    if (last !== undefined && BigInt(last.offset + last.length) === offset)
      stretches[stretches.length - 1] = { ...last, length: last.length + Number(length) };
    else stretches.push({ offset: Number(offset), length: Number(length) });
  }
  return stretches;
}

// Bounds of the metadata image (docs/formats/erofs.md): log2 of its smallest and largest chunk, chunks of one file.
const MIN_CHUNK_BITS = 9;
const MAX_CHUNK_BITS = 40;
const MAX_CHUNKS = 2 ** 20;

/**
 * Whether a metadata image can point at stretches where they lie (the data begins on a block). Where it cannot, it
 * would hold a copy of the data, of which there may be only so much.
 */
export function reachableInPlace(sizeBytes: number, stretches: readonly Stretch[]): boolean {
  if (stretches.slice(0, -1).some(({ length }) => length % BLOCK_BYTES !== 0)) return false;
  let wholeBits = MIN_CHUNK_BITS;
  while (2 ** wholeBits < sizeBytes) wholeBits += 1;
  const bounds = stretches.flatMap(({ offset, length }) =>
    offset + length === sizeBytes ? [offset] : [offset, offset + length],
  );
  const bits = Math.min(wholeBits, MAX_CHUNK_BITS, ...minimumOf(bounds.map(trailingZeros)));
  return bits >= MIN_CHUNK_BITS && Math.ceil(sizeBytes / 2 ** bits) <= MAX_CHUNKS;
}

/** At most one number: a list of stretches is too long to be spread into arguments. */
function minimumOf(numbers: readonly number[]): readonly number[] {
  return numbers.length === 0 ? [] : [numbers.reduce((least, number) => Math.min(least, number))];
}

function trailingZeros(value: number): number {
  if (value === 0) return 64;
  let zeros = 0;
  for (let rest = value; rest % 2 === 0; rest /= 2) zeros += 1;
  return zeros;
}
