import type { ByteString } from '../../archive/index.ts';
import { DEFAULT_LIMITS, type Limits } from '../../config/index.ts';
import type { Time } from '../entry.ts';
import { beyond, corrupt, truncated } from '../failure.ts';
import { ByteFeed } from './byte-feed.ts';
import { BLOCK_BYTES, parseHeader, textOf } from './header.ts';
import { hasData, type MergedHeader, mergeHeader, NO_OVERRIDES, type Overrides } from './merged.ts';
import { decimal, headerNumber } from './numbers.ts';
import { parsePax } from './pax.ts';
import {
  announcedMap,
  gnuPairs,
  mapOfRecords,
  mapOfText,
  type SparsePairs,
  type Stretch,
  stretchesOf,
  textMapCount,
} from './sparse.ts';

/** An entry as it stands in a tar, headers merged and nothing cleaned: for readers that refuse what engines tolerate. */
export interface TarEntry {
  readonly name: ByteString;
  /** Of hard and symbolic links. */
  readonly link: ByteString;
  /** The type flag; a file is `0` whatever old or sparse form it has. */
  readonly type: string;
  readonly permissions: number;
  readonly mtime: Time;
  /** Of a file, holes included. */
  readonly sizeBytes: number;
  /** Where in the file its data lies: the bytes that come with the entry, in order. The rest is zeros. */
  readonly stretches: readonly Stretch[];
}

/** Types that are files to every reader. */
const FILES = '07S';
const NEWLINE = 0x0a;

/**
 * Reads a plain tar as `walkLayer` does, with the data of each entry as it comes: what a reader leaves of it is passed over.
 * Ends at the end of the archive; what follows is left in the source. Throws LAYER_CORRUPT, LAYER_TRUNCATED, LIMIT_EXCEEDED.
 */
export async function* tarEntries(
  source: AsyncIterable<Uint8Array>,
  limits: Limits = DEFAULT_LIMITS,
): AsyncGenerator<{ readonly entry: TarEntry; readonly data: AsyncGenerator<Buffer> }> {
  const feed = new ByteFeed(source);
  let overrides: Overrides | undefined;
  for (;;) {
    const block = await nextHeader(feed, overrides !== undefined);
    if (block === undefined) return;
    const header = parseHeader(block);
    if ('xgLK'.includes(header.type)) {
      overrides = await metaEntry(feed, { type: header.type, size: header.size }, overrides, limits);
      continue;
    }
    const merged = mergeHeader(header, overrides ?? NO_OVERRIDES);
    overrides = undefined;
    const { entry, stored } = await readEntry(feed, merged, block, limits);
    const data = exactly(feed, stored);
    yield { entry, data };
    for await (const _ of data); // what the reader left
    await feed.take(paddingOf(stored)); // may be missing behind the last entry
  }
}

async function nextHeader(feed: ByteFeed, isAwaited: boolean): Promise<Buffer | undefined> {
  const block = await headerBlock(feed);
  if (block === undefined && isAwaited) throw truncated('an extended header has no entry');
  if (block?.some((byte) => byte !== 0) ?? true) return block;
  if (isAwaited) throw corrupt('an extended header has no entry');
  const second = await headerBlock(feed);
  if (second?.some((byte) => byte !== 0)) throw corrupt('a block of zeros in the middle of the archive');
  return undefined;
}

async function headerBlock(feed: ByteFeed): Promise<Buffer | undefined> {
  const bytes = await feed.take(BLOCK_BYTES);
  if (bytes.length > 0 && bytes.length < BLOCK_BYTES) throw truncated('a header block is incomplete');
  return bytes.length === 0 ? undefined : bytes;
}

async function metaEntry(
  feed: ByteFeed,
  header: { readonly type: string; readonly size: bigint },
  before: Overrides | undefined,
  limits: Limits,
): Promise<Overrides | undefined> {
  const size = sizeOf(header.size, limits);
  if (size > limits.maxHeaderBytes) throw beyond(`an extended header of ${size} bytes`, limits, 'maxHeaderBytes');
  const bytes = await whole(feed, size, 'an extended header');
  await feed.take(paddingOf(size));
  const overrides = before ?? NO_OVERRIDES;
  switch (header.type) {
    case 'x':
      return { ...overrides, pax: parsePax(bytes) };
    case 'L':
      return { ...overrides, longName: textOf(bytes) };
    case 'K':
      return { ...overrides, longLink: textOf(bytes) };
    default:
      parsePax(bytes); // a global header says nothing that counts, but a damaged one is no tar
      return undefined; // and it is an entry of its own, which the headers before it were about
  }
}

/** An entry, and how many bytes of data follow. */
async function readEntry(
  feed: ByteFeed,
  header: MergedHeader,
  block: Buffer,
  limits: Limits,
): Promise<{ readonly entry: TarEntry; readonly stored: number }> {
  const stored = hasData(header) ? sizeOf(header.size, limits) : 0;
  const common = {
    name: header.name,
    link: header.link,
    type: FILES.includes(header.type) ? '0' : header.type,
    permissions: Number(header.mode & 0o7777n),
    mtime: header.mtime,
  };
  const file = (pairs: SparsePairs, sizeBytes: number, dataBytes: number, name = header.name) => {
    const stretches = stretchesOf(pairs, sizeBytes);
    if (stretches.reduce((sum, { length }) => sum + length, 0) !== dataBytes)
      throw corrupt('a sparse map describes another amount of data than there is');
    return { entry: { ...common, name, sizeBytes, stretches }, stored: dataBytes };
  };
  if (header.type === 'S') {
    const { pairs, sizeBytes } = await gnuMap(feed, header, block, limits);
    return file(pairs, sizeBytes, stored);
  }
  const announced = hasData(header) ? announcedMap(header.pax) : undefined;
  if (announced === undefined) return file(stored === 0 ? [] : [[0n, BigInt(stored)]], stored, stored);
  const sizeBytes = sparseSize(header, limits) ?? stored;
  const name = (header.pax.get('GNU.sparse.name') || header.name) as ByteString;
  if (announced === 'records') return file(mapOfRecords(header.pax), sizeBytes, stored, name);
  const { pairs, mapBytes } = await textMap(feed, stored, limits);
  return file(pairs, sizeBytes, stored - mapBytes, name);
}

async function gnuMap(
  feed: ByteFeed,
  header: MergedHeader,
  block: Buffer,
  limits: Limits,
): Promise<{ readonly pairs: SparsePairs; readonly sizeBytes: number }> {
  if (header.flavour !== 'gnu') throw corrupt("an old sparse file in a tar that is not GNU's");
  const sizeBytes = sizeOf(headerNumber(block.subarray(483, 495)), limits);
  const { pairs, more } = gnuPairs(block, 'header');
  const all = [...pairs];
  for (let isOpen = more; isOpen; ) {
    const next = gnuPairs(await whole(feed, BLOCK_BYTES, 'a sparse map'), 'extension');
    all.push(...next.pairs);
    isOpen = next.more;
    checkCount(all.length, limits);
  }
  return { pairs: all, sizeBytes };
}

async function textMap(
  feed: ByteFeed,
  stored: number,
  limits: Limits,
): Promise<{ readonly pairs: SparsePairs; readonly mapBytes: number }> {
  let [text, lines] = ['', 0];
  for (;;) {
    if (stored - text.length < BLOCK_BYTES) throw corrupt("a sparse map is larger than its file's data");
    const block = await whole(feed, BLOCK_BYTES, 'a sparse map');
    text += block.toString('latin1');
    lines += block.reduce((count, byte) => (byte === NEWLINE ? count + 1 : count), 0);
    if (text.length > limits.maxHeaderBytes)
      throw beyond(`a sparse map of ${text.length} bytes`, limits, 'maxHeaderBytes');
    const claimed = textMapCount(text);
    if (claimed === undefined) continue;
    checkCount(Number(claimed), limits);
    const count = Number(claimed);
    // The count's own line, and two for each pair.
    if (lines > 2 * count) return { pairs: mapOfText(text, count), mapBytes: text.length };
  }
}

function sparseSize({ pax }: MergedHeader, limits: Limits): number | undefined {
  const text = pax.get('GNU.sparse.size') || pax.get('GNU.sparse.realsize');
  if (!text) return undefined;
  const size = decimal(text);
  if (size === undefined) throw corrupt("a sparse file's size is no number");
  return sizeOf(size, limits);
}

function checkCount(count: number, limits: Limits): void {
  if (count > limits.maxSparseExtents) throw beyond(`a sparse map of ${count} entries`, limits, 'maxSparseExtents');
}

function sizeOf(value: bigint, limits: Limits): number {
  if (value < 0n) throw corrupt('a size is negative');
  if (value > BigInt(limits.maxFileBytes)) throw beyond(`a file of ${value} bytes`, limits, 'maxFileBytes');
  return Number(value);
}

async function whole(feed: ByteFeed, bytes: number, what: string): Promise<Buffer> {
  const taken = await feed.take(bytes);
  if (taken.length < bytes) throw truncated(`${what} is incomplete`);
  return taken;
}

async function* exactly(feed: ByteFeed, bytes: number): AsyncGenerator<Buffer> {
  let seen = 0;
  for await (const part of feed.pass(bytes)) {
    seen += part.length;
    yield part;
  }
  if (seen < bytes) throw truncated("a file's data is incomplete");
}

function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
