import { type FileHandle, open } from 'node:fs/promises';
import type { LayerCodec } from '../../archive/index.ts';
import type { Limits } from '../../config/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { SpanList } from './span-list.ts';

/** What kind of blob a foreign layer is. */
export type LayerFormat = 'tar' | 'gzip' | 'estargz' | 'zstd' | 'zstd-seekable' | 'zstd:chunked';

export interface Recognised {
  readonly format: LayerFormat;
  /** There is a zstd seek table that does not fit the frames. */
  readonly ignoredSeekTable: boolean;
}

const FORMATS = { plain: 'tar', gzip: 'gzip', zstd: 'zstd' } as const;

/**
 * Looks at the end of a blob that was read to its end. It changes nothing about how the layer is read: tables that others put
 * into a blob are held against what was decoded, and never trusted.
 */
export async function recognise(codec: LayerCodec, path: string, found: SpanList, limits: Limits): Promise<Recognised> {
  const plainly = { format: FORMATS[codec], ignoredSeekTable: false };
  if (codec === 'plain') return plainly;
  await using file = await open(path);
  const tail: Tail = { file, bytes: (await file.stat()).size };
  if (codec === 'gzip') return (await isEstargz(tail, found)) ? { ...plainly, format: 'estargz' } : plainly;
  const footer = await lastOf(tail, 9);
  if (footer?.readUInt32LE(5) !== SEEKABLE_MAGIC)
    return (await isChunked(tail)) ? { ...plainly, format: 'zstd:chunked' } : plainly;
  const table = await seekTable(tail, footer, limits);
  return table !== undefined && sameSpans(table, found)
    ? { ...plainly, format: 'zstd-seekable' }
    : { ...plainly, ignoredSeekTable: true };
}

interface Tail {
  readonly file: FileHandle;
  readonly bytes: number;
}

/** zstd, contrib/seekable_format: "Seekable_Magic_Number", and the frame that a table lies in. */
const SEEKABLE_MAGIC = 0x8f92eab1;
const SEEK_TABLE_FRAME = 0x184d2a5e;

/** An empty member whose extra field says where the member with the table of contents begins (stargz-snapshotter, estargz.md). */
async function isEstargz(tail: Tail, { first, spans }: SpanList): Promise<boolean> {
  const footer = await lastOf(tail, 51);
  if (footer?.toString('hex', 0, 4) !== '1f8b0804' || footer.toString('hex', 10, 16) !== '1a0053471600') return false;
  const [, hex] = /^([0-9a-fA-F]{16})STARGZ$/.exec(footer.toString('latin1', 16, 38)) ?? [];
  if (hex === undefined) return false;
  const offset = Number.parseInt(hex, 16);
  let start = first;
  return spans.some(({ storedBytes }) => {
    const isHere = start === offset;
    start += storedBytes;
    return isHere;
  });
}

/** A skippable frame of a few numbers that ends with a magic; the first two are place and length of the manifest. */
async function isChunked(tail: Tail): Promise<boolean> {
  if ((await lastOf(tail, 8))?.toString('latin1') !== 'GnUlInUx') return false;
  // versions differ in how many numbers there are
  for (let length = 40; length <= 72; length += 8) {
    const header = await readAt(tail, tail.bytes - length - 8, 24);
    if (header?.readUInt32LE(0) !== 0x184d2a50) continue;
    const end = header.readBigUInt64LE(8) + header.readBigUInt64LE(16);
    return header.readUInt32LE(4) === length && end <= BigInt(tail.bytes);
  }
  return false;
}

/** The frames that a seek table names, its own among them; undefined when it is none that could be right. */
async function seekTable(tail: Tail, footer: Buffer, limits: Limits): Promise<SpanList | undefined> {
  const [count, descriptor] = [footer.readUInt32LE(0), footer.readUInt8(4)];
  const rowBytes = (descriptor & 0x80) === 0 ? 8 : 12;
  const content = count * rowBytes + 9;
  if ((descriptor & 0x7c) !== 0 || count > limits.maxSpans) return undefined;
  const header = await readAt(tail, tail.bytes - content - 8, 8);
  if (header?.readUInt32LE(0) !== SEEK_TABLE_FRAME || header.readUInt32LE(4) !== content) return undefined;
  const rows = await readAt(tail, tail.bytes - content, content - 9);
  const frames = new SpanList(limits);
  try {
    for (let at = 0; rows !== undefined && at < rows.length; at += rowBytes)
      frames.push({ storedBytes: rows.readUInt32LE(at), plainBytes: rows.readUInt32LE(at + 4) });
    frames.push({ storedBytes: content + 8, plainBytes: 0 });
  } catch (thrown) {
    if (thrown instanceof WorkerError) return undefined;
    throw thrown;
  }
  return frames;
}

function sameSpans(a: SpanList, b: SpanList): boolean {
  return (
    a.first === b.first &&
    a.spans.length === b.spans.length &&
    a.spans.every((span, at) => {
      const other = b.spans[at];
      return span.storedBytes === other?.storedBytes && span.plainBytes === other.plainBytes;
    })
  );
}

async function lastOf(tail: Tail, bytes: number): Promise<Buffer | undefined> {
  return await readAt(tail, tail.bytes - bytes, bytes);
}

async function readAt({ file }: Tail, offset: number, bytes: number): Promise<Buffer | undefined> {
  if (offset < 0) return undefined;
  const { bytesRead, buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, offset);
  return bytesRead === bytes ? buffer : undefined;
}
