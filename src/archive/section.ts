import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { type Digest, digestOfHex } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { corrupt } from './failure.ts';
import { aligned, type SectionRecord } from './footer.ts';
import type { RangeSource } from './range-source.ts';

/** What zlib gives with the option `info`: `bytesWritten` is how much of the input was used. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

const inflateFrame = promisify(zstdDecompress);
/** An archive of six million entries has sections below this; more is an attack or needs another reader. */
const MAX_PLAIN_BYTES = 2 ** 30;
const PIECE_BYTES = 8 * 2 ** 20;

/** The plain bytes of a section, checked. Throws ARCHIVE_CORRUPT, LIMIT_EXCEEDED. */
export async function readSection(source: RangeSource, record: SectionRecord, { signal }: Cancelable): Promise<Buffer> {
  const name = record.name ?? `type ${record.type}`;
  if (record.plainBytes > MAX_PLAIN_BYTES || record.storedBytes > MAX_PLAIN_BYTES) {
    throw new WorkerError(
      'LIMIT_EXCEEDED',
      `section ${name} of ${record.plainBytes} bytes is larger than ${MAX_PLAIN_BYTES}`,
    );
  }
  const stored = await source.read(record.offset, record.storedBytes, { signal });
  requireDigest(`section ${name}`, createHash('sha256').update(stored).digest('hex'), record.digest);
  if (record.encoding === 'plain') return stored;
  const plain = await inflate(stored, record.plainBytes).catch((cause: unknown) => {
    throw new WorkerError(
      'ARCHIVE_CORRUPT',
      `archive is damaged: section ${name} does not decode to ${record.plainBytes} bytes`,
      {},
      { cause },
    );
  });
  signal.throwIfAborted();
  if (plain.length !== record.plainBytes)
    throw corrupt(`section ${name} has ${plain.length} bytes instead of ${record.plainBytes}`);
  return plain;
}

/** All frames, of which Node's decoder does one at a time. */
async function inflate(stored: Buffer, plainBytes: number): Promise<Buffer> {
  const frames: Buffer[] = [];
  let left = plainBytes;
  for (let at = 0; at < stored.length; ) {
    const options = { info: true, maxOutputLength: Math.max(left, 1) };
    const { buffer, engine } = (await inflateFrame(stored.subarray(at), options)) as unknown as Inflated;
    if (engine.bytesWritten === 0) throw new WorkerError('ARCHIVE_CORRUPT', `no zstd frame at ${at} of a section`);
    frames.push(buffer);
    left -= buffer.length;
    at += engine.bytesWritten;
  }
  return Buffer.concat(frames);
}

/**
 * Passes the stored bytes of a section and the padding behind them in pieces; proves at the end that the first have their
 * digest and the second are zero.
 */
export async function* readVerified(
  source: RangeSource,
  { name, type, offset, storedBytes, digest }: SectionRecord,
  { signal }: Cancelable,
): AsyncGenerator<{ readonly offset: number; readonly bytes: Buffer }> {
  const hash = createHash('sha256');
  const length = aligned(storedBytes);
  for (let done = 0; done < length; done += PIECE_BYTES) {
    const bytes = await source.read(offset + done, Math.min(PIECE_BYTES, length - done), { signal });
    const stored = Math.max(0, storedBytes - done);
    hash.update(bytes.subarray(0, stored));
    if (bytes.subarray(stored).some((byte) => byte !== 0))
      throw corrupt(`the padding at ${offset + storedBytes} is not zero`);
    yield { offset: offset + done, bytes };
  }
  requireDigest(`section ${name ?? type}`, hash.digest('hex'), digest);
}

/** Throws ARCHIVE_CORRUPT. */
export async function requireZeros(
  source: RangeSource,
  { offset, length }: { readonly offset: number; readonly length: number },
  { signal }: Cancelable,
): Promise<void> {
  const bytes = await source.read(offset, length, { signal });
  if (bytes.some((byte) => byte !== 0)) throw corrupt(`the padding at ${offset} is not zero`);
}

/** Throws ARCHIVE_CORRUPT. */
export function requireDigest(name: string, actualHex: string, expected: Digest): void {
  if (digestOfHex(actualHex) !== expected)
    throw corrupt(`${name} does not have its digest`, { expected, actual: `sha256:${actualHex}` });
}
