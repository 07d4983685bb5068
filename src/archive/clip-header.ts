import { WorkerError } from '../errors/index.ts';
import { corrupt, truncated } from './failure.ts';

export const CLIP_HEADER_BYTES = 54;
const MAGIC = Buffer.from('89434c49500d0a1a0a', 'hex'); // \x89CLIP\r\n\x1a\n
const VERSION = 1;
/** The storage type that promises a footer (docs/formats/archive.md); CLIP readers never look at it. */
const CLIPYARD_MARK = 'oci\0clipyard';

/** The header of a CLIP archive: where its two gob streams are. All lengths are in bytes. */
export interface ClipHeader {
  readonly version: number;
  readonly indexOffset: number;
  readonly indexBytes: number;
  readonly storageOffset: number;
  /** 0 when the archive holds its own data (V1, local). */
  readonly storageBytes: number;
  /** 12 bytes, one character each; `oci`, `s3` or empty with NULs behind, or our mark. */
  readonly storageType: string;
}

/** Throws ARCHIVE_NOT_CLIP, ARCHIVE_TRUNCATED, FORMAT_TOO_NEW, ARCHIVE_CORRUPT. `sizeBytes` is that of the whole file. */
export function parseClipHeader(bytes: Buffer, sizeBytes: number): ClipHeader {
  const magic = bytes.subarray(0, MAGIC.length);
  if (bytes.length === 0 || !magic.equals(MAGIC.subarray(0, magic.length))) {
    throw new WorkerError('ARCHIVE_NOT_CLIP', 'the file does not start as a CLIP archive does');
  }
  if (bytes.length < CLIP_HEADER_BYTES) throw truncated(`${bytes.length} bytes hold no header`);
  const version = bytes.readUInt8(9);
  if (version > VERSION) throw new WorkerError('FORMAT_TOO_NEW', `CLIP version ${version} is not known`, { version });
  if (version < VERSION) throw new WorkerError('ARCHIVE_NOT_CLIP', `CLIP version ${version} does not exist`);
  const header = {
    version,
    indexBytes: readLength(bytes, 10),
    indexOffset: readLength(bytes, 18),
    storageBytes: readLength(bytes, 26),
    storageOffset: readLength(bytes, 34),
    storageType: bytes.toString('latin1', 42, CLIP_HEADER_BYTES),
  };
  requirePart('node list', header.indexOffset, header.indexBytes, sizeBytes);
  requirePart('storage info', header.storageOffset, header.storageBytes, sizeBytes);
  return header;
}

/** Whether the header promises our footer. */
export function hasClipyardMark(header: ClipHeader): boolean {
  return header.storageType === CLIPYARD_MARK;
}

function readLength(bytes: Buffer, offset: number): number {
  const value = bytes.readBigInt64LE(offset);
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
    throw corrupt(`header names a length or position of ${value}`);
  return Number(value);
}

function requirePart(name: string, offset: number, length: number, sizeBytes: number): void {
  if (length > 0 && offset < CLIP_HEADER_BYTES) throw corrupt(`${name} at ${offset} lies inside the header`);
  if (length > 0 && length > sizeBytes - offset)
    throw truncated(`${name} of ${length} bytes at ${offset}, the file has ${sizeBytes}`);
}
