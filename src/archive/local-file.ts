import { createHash } from 'node:crypto';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { displayOf } from './byte-string.ts';
import type { ClipNode } from './clip-node.ts';
import { corrupt } from './failure.ts';
import type { RangeSource } from './range-source.ts';
import type { ArchiveStorage } from './storage-info.ts';

const PIECE_BYTES = 1024 * 1024;
const TYPE_BITS = 0o170000;
const REGULAR = 0o100000;

/**
 * The bytes of a file that lie in the archive itself (V1), in pieces. Where the archive has the file's sha256 they are read and
 * proven before the first one is given. Throws NOT_A_REGULAR_FILE, ARCHIVE_CORRUPT, ARCHIVE_TRUNCATED, and ARCHIVE_NOT_LAZY for
 * the index of an archive that lies in S3.
 */
export async function openLocalFile(
  source: RangeSource,
  storage: ArchiveStorage,
  node: ClipNode,
  options: Cancelable,
): Promise<AsyncGenerator<Buffer>> {
  const { attributes, contentHash, dataBytes, dataOffset, path, type } = node;
  if (type !== 'file' || (attributes.mode & TYPE_BITS) !== REGULAR)
    throw new WorkerError('NOT_A_REGULAR_FILE', `${displayOf(path)} is no regular file`);
  if (storage.type !== 'local')
    throw new WorkerError(
      'ARCHIVE_NOT_LAZY',
      storage.type === 's3'
        ? `this is the index of a V1 archive; the bytes of ${displayOf(path)} are in s3://${storage.bucket}/${storage.key}`
        : `the bytes of ${displayOf(path)} are not in the archive`,
    );
  const pieces = () => piecesOf(source, dataOffset, dataBytes, options);
  if (contentHash !== '') {
    const hash = createHash('sha256');
    for await (const piece of pieces()) hash.update(piece);
    if (hash.digest('hex') !== contentHash) throw corrupt(`the bytes of ${displayOf(path)} do not have their digest`);
  }
  return pieces();
}

async function* piecesOf(
  source: RangeSource,
  offset: number,
  length: number,
  options: Cancelable,
): AsyncGenerator<Buffer> {
  for (let done = 0; done < length; done += PIECE_BYTES)
    yield await source.read(offset + done, Math.min(PIECE_BYTES, length - done), options);
}
