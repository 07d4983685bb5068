import type { LayerRecord } from '../archive/index.ts';

/** A span that is longer, stored or plain, is decoded as a stream and as a whole (the daemon's `STREAMED_BYTES`). */
const STREAMED_BYTES = 8 * 2 ** 20;

/** What is read of the blob to have some chunks, and which chunks come with them. */
export interface Plan {
  readonly storedBytes: number;
  readonly firstChunk: number;
  /** Behind the last one. */
  readonly endChunk: number;
  readonly streamed: boolean;
}

/** Where chunks and spans of a layer lie: the daemon's arithmetic (`layer/geometry.rs`). */
export interface LayerPlaces {
  readonly chunkCount: number;
  readonly chunkBytes: number;
  plainOf(chunk: number): number;
  /** The chunk that holds a byte of the plain stream. */
  chunkAt(offset: number): number;
  plan(firstChunk: number, endChunk: number): Plan;
}

export function layerPlaces(layer: LayerRecord): LayerPlaces {
  const chunkPlain = starts(layer.chunkLengths);
  const ownSpans = layer.codec === 'plain' || layer.spans.length === 0;
  const spanPlain = ownSpans ? chunkPlain : starts(layer.spans.map((span) => span.plainBytes));
  const spanStored = ownSpans ? chunkPlain : starts(layer.spans.map((span) => span.storedBytes));
  const chunkCount = layer.chunkLengths.length;
  const at = (list: Float64Array, index: number) => list[Math.min(index, list.length - 1)] ?? 0;
  const isStreamed = (span: number) =>
    at(spanStored, span + 1) - at(spanStored, span) > STREAMED_BYTES ||
    at(spanPlain, span + 1) - at(spanPlain, span) > STREAMED_BYTES;
  return {
    chunkCount,
    chunkBytes: layer.chunkBytes,
    plainOf: (chunk) => at(chunkPlain, chunk),
    chunkAt: (offset) => overlapping(chunkPlain, offset, offset + 1)[0],
    plan(firstChunk, endChunk) {
      const [first, end] = overlapping(spanPlain, at(chunkPlain, firstChunk), at(chunkPlain, endChunk));
      const early = (layer.seek?.[first]?.bits ?? 0) > 0 ? 1 : 0;
      const [plainStart, plainEnd] = [at(spanPlain, first), at(spanPlain, end)];
      const [touchedFirst, touchedEnd] = overlapping(chunkPlain, plainStart, plainEnd);
      return {
        storedBytes: at(spanStored, end) - at(spanStored, first) + early,
        firstChunk: Math.min(firstChunk, touchedFirst + (at(chunkPlain, touchedFirst) < plainStart ? 1 : 0)),
        endChunk: Math.max(endChunk, touchedEnd - (at(chunkPlain, touchedEnd) > plainEnd ? 1 : 0)),
        streamed: end - first === 1 && isStreamed(first),
      };
    },
  };
}

function starts(lengths: readonly number[]): Float64Array {
  const out = new Float64Array(lengths.length + 1);
  lengths.forEach((length, index) => {
    out[index + 1] = (out[index] ?? 0) + length;
  });
  return out;
}

/** Indexes of the pieces that overlap a stretch that is not empty: first, and behind the last. */
function overlapping(list: Float64Array, start: number, end: number): readonly [number, number] {
  const first = lowerBound(list, (value) => value > start) - 1;
  const last = lowerBound(list, (value) => value >= end);
  const most = list.length - 1;
  return [Math.min(Math.max(first, 0), most), Math.min(Math.max(last, first), most)];
}

/** The first index whose value fulfils what all later ones do, too. */
function lowerBound(list: Float64Array, isBehind: (value: number) => boolean): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBehind(list[middle] ?? 0)) high = middle;
    else low = middle + 1;
  }
  return low;
}
