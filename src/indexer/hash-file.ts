import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type Digest, digestOfHex, type Expected } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';

const READ_BYTES = 1024 * 1024;

/** Digest and size of a file's bytes. */
export async function hashFile(path: string, { signal }: Partial<Cancelable> = {}): Promise<Expected> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const source = createReadStream(path, { highWaterMark: READ_BYTES, ...(signal !== undefined && { signal }) });
  for await (const chunk of source as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { digest: digestOfHex(hash.digest('hex')), sizeBytes };
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
