import { WorkerError } from '../errors/index.ts';
import type { ObjectRange } from './object-store.ts';

/** First and last byte of a range inside an object, as HTTP means it (RFC 9110, 14.1.2). Throws STORE_RANGE_INVALID. */
export function resolveRange(
  range: ObjectRange | undefined,
  sizeBytes: number,
  what: string,
): { readonly start: number; readonly end: number } {
  if (range === undefined) return { start: 0, end: sizeBytes };
  if ('suffixLength' in range) {
    if (range.suffixLength <= 0) throw invalidRange(range, what);
    return { start: Math.max(0, sizeBytes - range.suffixLength), end: sizeBytes };
  }
  const { offset, length = sizeBytes } = range;
  if (offset < 0 || offset >= sizeBytes || length <= 0) throw invalidRange(range, what);
  return { start: offset, end: Math.min(sizeBytes, offset + length) };
}

/** The header of a ranged GET. Throws STORE_RANGE_INVALID for what the header cannot say. */
export function rangeHeader(range: ObjectRange, what: string): string {
  if ('suffixLength' in range) {
    if (range.suffixLength <= 0) throw invalidRange(range, what);
    return `bytes=-${range.suffixLength}`;
  }
  const { offset, length } = range;
  if (offset < 0 || (length !== undefined && length <= 0)) throw invalidRange(range, what);
  return `bytes=${offset}-${length === undefined ? '' : offset + length - 1}`;
}

export function invalidRange(range: ObjectRange | undefined, what: string): WorkerError {
  return new WorkerError('STORE_RANGE_INVALID', `${what}: no range ${JSON.stringify(range)} in the object`);
}
