import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type Digest, digestOfHex, type Expected } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';

/** As much as stays in a core's cache between reading and hashing. */
const READ_BYTES = 256 * 1024;

/** Digest and size of a file's bytes. One buffer for all of it: new ones, as a stream has them, double the time. */
export async function hashFile(path: string, { signal }: Partial<Cancelable> = {}): Promise<Expected> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let sizeBytes = 0;
  await using file = await open(path);
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return { digest: digestOfHex(hash.digest('hex')), sizeBytes };
    hash.update(buffer.subarray(0, bytesRead));
    sizeBytes += bytesRead;
  }
}

/** Whether a file is there and holds exactly these bytes. */
export async function fileHolds(
  path: string,
  { digest, sizeBytes }: { readonly digest: Digest; readonly sizeBytes: number },
  { signal }: Cancelable,
): Promise<boolean> {
  try {
    const actual = await hashFile(path, { signal });
    return actual.digest === digest && actual.sizeBytes === sizeBytes;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
