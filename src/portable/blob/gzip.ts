import { finished } from 'node:stream/promises';
import { crc32, createInflateRaw, type InflateRaw } from 'node:zlib';
import { messageOf, systemCodeOf } from '../../errors/index.ts';
import { corrupt, truncated } from '../failure.ts';
import type { BlobReader } from './blob-reader.ts';
import type { SpanList } from './span-list.ts';

const PLAIN_PIECE_BYTES = 128 * 1024;
// RFC 1952, "Member format".
const [HEADER_CRC, EXTRA, NAME, COMMENT, RESERVED] = [2, 4, 8, 16, 0xe0] as const;

/** Inflates the members of a gzip blob one after the other and checks each one's CRC and length. */
export async function* readGzip(blob: BlobReader, spans: SpanList): AsyncGenerator<Buffer> {
  for (let start = 0; await beginMember(blob, start); start = blob.position) {
    let [crc, plainBytes] = [0, 0];
    for await (const piece of inflate(blob, start)) {
      crc = crc32(piece, crc);
      plainBytes += piece.length;
      yield piece;
    }
    const trailer = await blob.take(8);
    if (trailer.length < 8) throw truncated("the blob ends in a gzip member's trailer");
    if (trailer.readUInt32LE(0) !== crc || trailer.readUInt32LE(4) !== plainBytes % 2 ** 32)
      throw corrupt(`the gzip member at offset ${start} has another checksum or length than its trailer`);
    spans.push({ storedBytes: blob.position - start, plainBytes });
  }
}

/** Reads a member's header; false at the end of the blob, which zeros may fill up as tapes and some tools do. */
async function beginMember(blob: BlobReader, start: number): Promise<boolean> {
  const isFirst = start === 0;
  const notGzip = () => corrupt(`no gzip member at offset ${start}`);
  const [first] = await blob.available();
  if (first === undefined) {
    if (isFirst) throw truncated('the blob ends before the first gzip member');
    return false;
  }
  if (first === 0 && !isFirst) {
    for await (const piece of blob.pass(Number.MAX_SAFE_INTEGER)) if (piece.some((byte) => byte !== 0)) throw notGzip();
    return false;
  }
  for (const wanted of [0x1f, 0x8b, 8]) if ((await byteOf(blob)) !== wanted) throw notGzip();
  const flags = await byteOf(blob);
  if ((flags & RESERVED) !== 0) throw notGzip();
  await skip(blob, 6); // time, extra flags, system
  if ((flags & EXTRA) !== 0) await skip(blob, (await byteOf(blob)) + 256 * (await byteOf(blob)));
  for (const flag of [NAME, COMMENT]) if ((flags & flag) !== 0) while ((await byteOf(blob)) !== 0);
  if ((flags & HEADER_CRC) !== 0) await skip(blob, 2);
  return true;
}

async function byteOf(blob: BlobReader): Promise<number> {
  const [byte] = await blob.available();
  if (byte === undefined) throw truncated("the blob ends in a gzip member's header");
  blob.use(1);
  return byte;
}

async function skip(blob: BlobReader, bytes: number): Promise<void> {
  const end = blob.position + bytes;
  for await (const _piece of blob.pass(bytes));
  if (blob.position < end) throw truncated("the blob ends in a gzip member's header");
}

/** One deflate stream, used up to its last byte. */
async function* inflate(blob: BlobReader, start: number): AsyncGenerator<Buffer> {
  const engine = createInflateRaw({ chunkSize: PLAIN_PIECE_BYTES });
  const feeding = feed(engine, blob);
  try {
    for await (const piece of engine) yield piece as Buffer;
  } catch (cause) {
    if (systemCodeOf(cause) === 'Z_BUF_ERROR') throw truncated('the blob ends in a gzip member');
    if (systemCodeOf(cause)?.startsWith('Z_') !== true) throw cause;
    throw corrupt(`the gzip member at offset ${start}: ${messageOf(cause)}`, { cause });
  } finally {
    engine.destroy();
    await feeding;
  }
}

/** Gives the engine what it takes: it ends by itself, often in the middle of a piece, and says how much it used. */
async function feed(engine: InflateRaw, blob: BlobReader): Promise<void> {
  let isOver = false;
  const over = finished(engine, { writable: false })
    .catch(() => undefined) // whoever reads the engine gets its error
    .then(() => {
      isOver = true;
    });
  try {
    for (let used = 0; !isOver; used = engine.bytesWritten) {
      const piece = await blob.available();
      if (piece.length === 0) engine.end();
      else await Promise.race([over, new Promise((resolve) => engine.write(piece, resolve))]);
      if (piece.length === 0) await over;
      blob.use(engine.bytesWritten - used);
    }
  } catch (thrown) {
    engine.destroy(thrown as Error);
    await over;
  }
}
