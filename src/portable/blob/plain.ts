import { corrupt } from '../failure.ts';
import type { BlobReader } from './blob-reader.ts';

/** A blob that is a tar as it lies there. A wrong media type is told by what it is, not as a tar with a bad checksum. */
export async function* readPlain(blob: BlobReader): AsyncGenerator<Buffer> {
  const start = await blob.available();
  const found = start.toString('hex', 0, 3) === '1f8b08' ? 'gzip' : isZstd(start) ? 'zstd' : undefined;
  if (found !== undefined) throw corrupt(`the media type says a plain tar, the bytes are ${found}`);
  yield* blob.pass(Number.MAX_SAFE_INTEGER);
}

/** The magics of RFC 8878: a frame, or a skippable one. */
function isZstd(start: Buffer): boolean {
  return start.length >= 4 && (start.readUInt32LE(0) === 0xfd2fb528 || start.readUInt32LE(0) >>> 4 === 0x0184d2a5);
}
