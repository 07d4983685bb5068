import type { Limits } from '../../config/index.ts';
import type { Entry, FileKind, LayerWarnings } from '../entry.ts';
import { beyond, corrupt, truncated } from '../failure.ts';
import { BLOCK_BYTES, parseHeader, type TarHeader, textOf } from './header.ts';
import { entryOf, hasData, type MergedHeader, mergeHeader, NO_OVERRIDES, type Overrides } from './merged.ts';
import { decimal, headerNumber } from './numbers.ts';
import { parsePax } from './pax.ts';
import {
  announcedMap,
  gnuPairs,
  mapOfRecords,
  mapOfText,
  reachableInPlace,
  type SparsePairs,
  stretchesOf,
  textMapCount,
} from './sparse.ts';

/** What the walk wants next: bytes to look at, bytes to pass, or a chunk's end here because a large file's data begins. */
export type Step = { readonly want: 'take' | 'pass'; readonly bytes: number } | { readonly want: 'cut' };

/** What a walk gets for bytes it wanted: at the end of the stream there may be fewer. */
export interface Part {
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

type Walk<T> = Generator<Step, T, Part>;
const META_TYPES = 'xgLK';
const CUT: Step = { want: 'cut' };

/** How a layer is walked and what came out of it so far. */
export interface WalkState {
  readonly limits: Limits;
  /** A file with at least this much data starts a chunk. */
  readonly largeBytes: number;
  readonly entries: Entry[];
  readonly warnings: LayerWarnings;
  /** Entries begun. */
  begun: number;
  /** Offset of the next byte in the stream. */
  offset: number;
  relocatedBytes: number;
}

/**
 * Reads a tar as Go's `archive/tar` does (ustar, star, GNU with sparse files, PAX), any byte in names. Ends at the
 * end-of-archive blocks, which may be missing, as the padding of the last entry may. Throws LAYER_CORRUPT,
 * LAYER_TRUNCATED, LAYER_PATH_INVALID, LIMIT_EXCEEDED.
 */
export function* walkLayer(state: WalkState): Walk<void> {
  let overrides: Overrides | undefined;
  for (;;) {
    const block = yield* nextHeader(state, overrides !== undefined);
    if (block === undefined) return;
    const header = parseHeader(block);
    if (META_TYPES.includes(header.type)) {
      overrides = yield* metaEntry(state, header, overrides);
      if (!(yield* pass(state, paddingOf(Number(header.size))))) {
        if (overrides !== undefined) throw truncated('an extended header has no entry');
        return;
      }
      continue;
    }
    const merged = mergeHeader(header, overrides ?? NO_OVERRIDES);
    overrides = undefined;
    const stored = yield* fileEntry(state, merged, block);
    if (!(yield* pass(state, paddingOf(stored)))) return;
  }
}

/** The next header block; undefined at the end of the archive. `isAwaited`: a header spoke about an entry to come. */
function* nextHeader(state: WalkState, isAwaited: boolean): Walk<Buffer | undefined> {
  const block = yield* headerBlock(state);
  if (block === undefined && isAwaited) throw truncated('an extended header has no entry');
  if (block?.some((byte) => byte !== 0) ?? true) return block;
  if (isAwaited) throw corrupt('an extended header has no entry');
  const second = yield* headerBlock(state);
  if (second?.some((byte) => byte !== 0)) throw corrupt('a block of zeros in the middle of the archive');
  return undefined;
}

function* headerBlock(state: WalkState): Walk<Buffer | undefined> {
  const { bytes, isWhole } = yield* take(state, BLOCK_BYTES);
  if (!isWhole && bytes.length > 0) throw truncated('a header block is incomplete');
  return isWhole ? bytes : undefined;
}

/** A header that speaks about the next entry, added to those before it. */
function* metaEntry(state: WalkState, header: TarHeader, before: Overrides | undefined): Walk<Overrides | undefined> {
  const size = sizeOf(state, header.size);
  if (size > state.limits.maxHeaderBytes)
    throw beyond(`an extended header of ${size} bytes`, state.limits, 'maxHeaderBytes');
  const { bytes, isWhole } = yield* take(state, size);
  if (!isWhole) throw truncated('an extended header is incomplete');
  const overrides = before ?? NO_OVERRIDES;
  switch (header.type) {
    case 'x':
      return { ...overrides, pax: parsePax(bytes) };
    case 'L':
      return { ...overrides, longName: textOf(bytes) };
    case 'K':
      return { ...overrides, longLink: textOf(bytes) };
    default:
      parsePax(bytes); // engines ignore global headers, but not damaged ones
      state.warnings.ignoredGlobalHeaders += 1;
      return undefined; // to Go's reader it is an entry of its own, which the headers before it were about
  }
}

/** An entry and its data. Returns how many bytes the last part of the data has, for its padding. */
function* fileEntry(state: WalkState, header: MergedHeader, block: Buffer): Walk<number> {
  state.begun += 1;
  if (state.begun > state.limits.maxEntries) throw beyond(`entry number ${state.begun}`, state.limits, 'maxEntries');
  const stored = sizeOf(state, header.size);
  if (!hasData(header)) {
    emit(state, header, { type: 'file', sizeBytes: 0, offset: undefined });
    return 0;
  }
  const announced = announcedMap(header.pax);
  if (header.type === 'S') {
    const { pairs, sizeBytes } = yield* gnuMap(state, header, block);
    return yield* sparseData(state, header, { pairs, sizeBytes, stored, cuts: true });
  }
  if (announced === undefined) return yield* plainData(state, header, { sizeBytes: stored, stored, cuts: true });
  const sizeBytes = sparseSize(state, header) ?? stored;
  const named = { ...header, name: (header.pax.get('GNU.sparse.name') || header.name) as typeof header.name };
  if (announced === 'records')
    return yield* sparseData(state, named, { pairs: mapOfRecords(header.pax), sizeBytes, stored, cuts: true });
  // the map is part of the data, so a chunk starts before it
  if (stored >= state.largeBytes) yield CUT;
  const { pairs, mapBytes } = yield* textMap(state, stored);
  return yield* sparseData(state, named, { pairs, sizeBytes, stored: stored - mapBytes, cuts: false });
}

interface Data {
  readonly sizeBytes: number;
  /** How much of it the tar holds. */
  readonly stored: number;
  /** Whether it may start a chunk. */
  readonly cuts: boolean;
}

function* plainData(state: WalkState, header: MergedHeader, data: Data): Walk<number> {
  return yield* dataOf(state, header, { type: 'file', sizeBytes: data.sizeBytes, offset: state.offset }, data);
}

function* sparseData(state: WalkState, header: MergedHeader, data: Data & { pairs: SparsePairs }): Walk<number> {
  const { pairs, sizeBytes, stored } = data;
  checkMap(state, { mapBytes: 0, count: pairs.length });
  const stretches = stretchesOf(pairs, sizeBytes);
  if (stretches.reduce((sum, { length }) => sum + length, 0) !== stored)
    throw corrupt('a sparse map describes another amount of data than there is');
  const [first] = stretches;
  const isWhole = stretches.length === 1 && first?.offset === 0 && first.length === sizeBytes;
  if (sizeBytes === 0 || isWhole) return yield* plainData(state, header, data);
  if (!reachableInPlace(sizeBytes, stretches)) {
    state.relocatedBytes += stored;
    if (state.relocatedBytes > state.limits.maxRelocatedBytes)
      throw beyond(
        `${state.relocatedBytes} bytes of sparse data off block boundaries`,
        state.limits,
        'maxRelocatedBytes',
      );
  }
  return yield* dataOf(state, header, { type: 'file', sizeBytes, offset: undefined }, data);
}

function* dataOf(state: WalkState, header: MergedHeader, file: FileKind, { stored, cuts }: Data): Walk<number> {
  if (cuts && stored >= state.largeBytes) yield CUT;
  if (!(yield* pass(state, stored))) throw truncated("a file's data is incomplete");
  emit(state, header, file);
  return stored;
}

/** The map of an old GNU sparse file: four pairs in its header, 21 in each block that follows. */
function* gnuMap(
  state: WalkState,
  header: MergedHeader,
  block: Buffer,
): Walk<{ readonly pairs: SparsePairs; readonly sizeBytes: number }> {
  if (header.flavour !== 'gnu') throw corrupt("an old sparse file in a tar that is not GNU's");
  const sizeBytes = sizeOf(state, headerNumber(block.subarray(483, 495)));
  const { pairs, more } = gnuPairs(block, 'header');
  const all = [...pairs];
  checkMap(state, { mapBytes: BLOCK_BYTES, count: all.length });
  for (let [blocks, isOpen] = [2, more]; isOpen; blocks += 1) {
    const { bytes, isWhole } = yield* take(state, BLOCK_BYTES);
    if (!isWhole) throw truncated('a sparse map is incomplete');
    const next = gnuPairs(bytes, 'extension');
    all.push(...next.pairs);
    isOpen = next.more;
    checkMap(state, { mapBytes: blocks * BLOCK_BYTES, count: all.length });
  }
  return { pairs: all, sizeBytes };
}

/** The map of format 1.0, whole blocks at the start of the data. */
function* textMap(state: WalkState, stored: number): Walk<{ readonly pairs: SparsePairs; readonly mapBytes: number }> {
  const { maxSparseExtents } = state.limits;
  let text = '';
  let newlines = 0;
  for (;;) {
    if (stored - text.length < BLOCK_BYTES) throw corrupt("a sparse map is larger than its file's data");
    const { bytes, isWhole } = yield* take(state, BLOCK_BYTES);
    if (!isWhole) throw truncated('a sparse map is incomplete');
    text += bytes.toString('latin1');
    newlines += bytes.reduce((count, byte) => (byte === NEWLINE ? count + 1 : count), 0);
    const claimed = textMapCount(text);
    // a larger claim is over the limit, whatever follows
    const count = claimed === undefined ? 0 : Math.min(Number(claimed), maxSparseExtents + 1);
    const pairs = claimed !== undefined && newlines > 2 * count ? mapOfText(text, count) : undefined;
    checkMap(state, { mapBytes: text.length, count });
    if (pairs !== undefined) return { pairs, mapBytes: text.length };
  }
}

const NEWLINE = 0x0a;

/** A PAX sparse file's own size stands in a record. */
function sparseSize(state: WalkState, { pax }: MergedHeader): number | undefined {
  const text = pax.get('GNU.sparse.size') || pax.get('GNU.sparse.realsize');
  if (!text) return undefined;
  const size = decimal(text);
  if (size === undefined) throw corrupt("a sparse file's size is no number");
  return sizeOf(state, size);
}

function checkMap({ limits }: WalkState, { mapBytes, count }: { mapBytes: number; count: number }): void {
  if (mapBytes > limits.maxHeaderBytes) throw beyond(`a sparse map of ${mapBytes} bytes`, limits, 'maxHeaderBytes');
  if (count > limits.maxSparseExtents) throw beyond(`a sparse map of ${count} entries`, limits, 'maxSparseExtents');
}

function sizeOf({ limits }: WalkState, value: bigint): number {
  if (value < 0n) throw corrupt('a size is negative');
  if (value > BigInt(limits.maxFileBytes)) throw beyond(`a file of ${value} bytes`, limits, 'maxFileBytes');
  return Number(value);
}

function emit(state: WalkState, header: MergedHeader, file: FileKind): void {
  state.entries.push(entryOf(header, file, state.limits, state.warnings));
}

function* take(state: WalkState, bytes: number): Walk<Part> {
  if (bytes === 0) return { bytes: Buffer.alloc(0), isWhole: true };
  const part = yield { want: 'take', bytes };
  state.offset += part.bytes.length;
  return part;
}

/** Whether the stream had as many bytes. */
function* pass(state: WalkState, bytes: number): Walk<boolean> {
  if (bytes === 0) return true;
  const { isWhole } = yield { want: 'pass', bytes };
  if (isWhole) state.offset += bytes;
  return isWhole;
}

/** Bytes from the end of a data section to the next block. */
function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
