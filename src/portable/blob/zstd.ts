import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import type { Limits } from '../../config/index.ts';
import { messageOf, systemCodeOf, WorkerError } from '../../errors/index.ts';
import { beyond, corrupt, truncated } from '../failure.ts';
import type { BlobReader } from './blob-reader.ts';
import type { SpanList } from './span-list.ts';

// RFC 8878, "Zstandard Frames" and "Skippable Frames".
const MAGIC = Buffer.from('28b52ffd', 'hex');
const SKIPPABLE = Buffer.from('502a4d18', 'hex');
const PLAIN_PIECE_BYTES = 128 * 1024;

/**
 * Decodes the frames of a zstd blob one after the other. Node's decoder stops behind the first frame and does not tell
 * where a later one starts, so frames are told apart here, by the lengths of their blocks.
 */
export async function* readZstd(blob: BlobReader, spans: SpanList, limits: Limits): AsyncGenerator<Buffer> {
  for (;;) {
    const start = blob.position;
    const magic = await blob.take(4);
    if (magic.length === 0 && start > 0) return;
    requireMagic(magic, start);
    let plainBytes = 0;
    if (magic[0] === MAGIC[0]) {
      for await (const piece of decode(blob, start, limits)) {
        plainBytes += piece.length;
        yield piece;
      }
    } else await skip(blob);
    spans.push({ storedBytes: blob.position - start, plainBytes });
  }
}

function requireMagic(bytes: Buffer, start: number): void {
  const masked = Buffer.from(bytes);
  masked[0] = (bytes[0] ?? 0) & 0xf0;
  const isStart = (found: Buffer, magic: Buffer): boolean => found.equals(magic.subarray(0, bytes.length));
  if (bytes.length > 0 && !isStart(bytes, MAGIC) && !isStart(masked.subarray(0, bytes.length), SKIPPABLE))
    throw corrupt(`no zstd frame at offset ${start}`);
  if (bytes.length < 4) throw ended();
}

function ended(): WorkerError {
  return truncated('the blob ends in a zstd frame');
}

async function skip(blob: BlobReader): Promise<void> {
  const length = await blob.take(4);
  if (length.length < 4) throw ended();
  const end = blob.position + length.readUInt32LE(0);
  for await (const _piece of blob.pass(end - blob.position));
  if (blob.position < end) throw ended();
}

/** One frame, whose magic was read, used up to its last byte. */
async function* decode(blob: BlobReader, start: number, limits: Limits): AsyncGenerator<Buffer> {
  const engine = createZstdDecompress({ chunkSize: PLAIN_PIECE_BYTES });
  const found: Found = { isComplete: false, contentBytes: undefined };
  let plainBytes = 0n;
  const fed = pipeline(frameBytes(blob, found, start, limits), engine);
  fed.catch(() => undefined); // the engine has the same error
  try {
    for await (const piece of engine as AsyncIterable<Buffer>) {
      plainBytes += BigInt(piece.length);
      yield piece;
    }
    await fed;
  } catch (cause) {
    throw faultOf(cause, start, found.isComplete, limits);
  } finally {
    engine.destroy();
  }
  if (!found.isComplete) throw ended();
  // the library does not look at it where the last block is empty
  if (found.contentBytes !== undefined && found.contentBytes !== plainBytes)
    throw corrupt(`the zstd frame at offset ${start} has ${plainBytes} bytes and says ${found.contentBytes}`);
}

/** What was learned of a frame on its way to the decoder. */
interface Found {
  isComplete: boolean;
  /** What its header says about its content. */
  contentBytes: bigint | undefined;
}

function faultOf(thrown: unknown, start: number, isComplete: boolean, limits: Limits): unknown {
  const code = systemCodeOf(thrown);
  if (thrown instanceof WorkerError || code === undefined) return thrown;
  if (code === 'ZSTD_error_frameParameter_windowTooLarge') return windowTooLarge(start, limits);
  if (code === 'Z_BUF_ERROR' && !isComplete) return ended();
  if (!code.startsWith('Z')) return thrown;
  return corrupt(`the zstd frame at offset ${start}: ${messageOf(thrown)}`, { cause: thrown });
}

function windowTooLarge(start: number, limits: Limits): WorkerError {
  return beyond(`the window of the zstd frame at offset ${start}`, limits, 'maxWindowBytes');
}

/** The bytes of a frame, magic included, as far as the blob has them; whether it has all is noted in `found`. */
async function* frameBytes(blob: BlobReader, found: Found, start: number, limits: Limits): AsyncGenerator<Buffer> {
  yield MAGIC;
  const [descriptor] = await blob.available();
  if (descriptor === undefined) return;
  const { headerBytes, hasChecksum } = frameShape(descriptor);
  const header = await blob.take(headerBytes);
  if (header.length < headerBytes) {
    yield header;
    return;
  }
  if (windowOf(header) > BigInt(limits.maxWindowBytes)) throw windowTooLarge(start, limits);
  found.contentBytes = contentSizeOf(header);
  yield header;
  for (let isLast = false; !isLast; ) {
    const block = await blob.take(3);
    yield block;
    if (block.length < 3) return;
    const bits = block.readUIntLE(0, 3);
    isLast = (bits & 1) === 1;
    const isRepeat = ((bits >>> 1) & 3) === 1;
    const end = blob.position + (isRepeat ? 1 : bits >>> 3);
    yield* blob.pass(end - blob.position);
    if (blob.position < end) return;
  }
  const checksum = await blob.take(hasChecksum ? 4 : 0);
  found.isComplete = checksum.length === (hasChecksum ? 4 : 0);
  yield checksum;
}

/** RFC 8878, "Frame_Header_Descriptor": how long the header is, itself included, and whether a checksum ends the frame. */
function frameShape(descriptor: number): { readonly headerBytes: number; readonly hasChecksum: boolean } {
  const isSingle = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const headerBytes = 1 + (isSingle ? 0 : 1) + dictionaryBytes + contentSizeBytes(descriptor);
  return { headerBytes, hasChecksum: (descriptor & 4) !== 0 };
}

function contentSizeBytes(descriptor: number): number {
  const isSingle = (descriptor & 0x20) !== 0;
  return [isSingle ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
}

/** The window a frame asks for ("Window_Descriptor"); of a single segment that is its whole content. */
function windowOf(header: Buffer): bigint {
  const [descriptor = 0, second = 0] = header;
  if ((descriptor & 0x20) === 0) {
    const base = 2n ** BigInt(10 + (second >>> 3));
    return base + (base / 8n) * BigInt(second & 7);
  }
  return contentSizeOf(header) ?? 0n;
}

/** RFC 8878, "Frame_Content_Size": little-endian, at the end of the header. */
function contentSizeOf(header: Buffer): bigint | undefined {
  const width = contentSizeBytes(header[0] ?? 0);
  if (width === 0) return undefined;
  const size = header.subarray(header.length - width).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  return width === 2 ? size + 256n : size;
}
