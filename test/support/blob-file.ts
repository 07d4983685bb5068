import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf, hexOf } from '../../src/digest/index.ts';

export interface BlobFile {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly bytes: Buffer;
}

/** A file of bytes that no server has seen before. */
export async function newBlobFile(directory: string, sizeBytes: number): Promise<BlobFile> {
  const bytes = randomBytes(sizeBytes);
  const digest = digestOf(bytes);
  const path = join(directory, hexOf(digest));
  await writeFile(path, bytes);
  return { path, digest, sizeBytes, bytes };
}

/** A push source is a path or bytes, not both. */
export function sourceOf({ path, digest, sizeBytes }: BlobFile): Omit<BlobFile, 'bytes'> {
  return { path, digest, sizeBytes };
}
