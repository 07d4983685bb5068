import { createHash } from 'node:crypto';
import { WorkerError } from '../errors/index.ts';
import type { Digest } from './digest.ts';

/** What a stream of bytes must turn out to be. */
export interface Expected {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/**
 * Passes bytes through and proves at the end that they are the ones asked for; for use inside `pipeline()`.
 * Throws BLOB_MISMATCH, as soon as there are too many bytes.
 */
export function verify(want: Expected): (source: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> {
  return async function* verifying(source) {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of source) {
      sizeBytes += chunk.length;
      if (sizeBytes > want.sizeBytes) throw mismatch(want, `more than ${want.sizeBytes} bytes`);
      hash.update(chunk);
      yield chunk;
    }
    if (sizeBytes !== want.sizeBytes) throw mismatch(want, `${sizeBytes} bytes instead of ${want.sizeBytes}`);
    const actual = `sha256:${hash.digest('hex')}`;
    if (actual !== want.digest) throw mismatch(want, `digest ${actual}`);
  };
}

function mismatch(want: Expected, what: string): WorkerError {
  return new WorkerError('BLOB_MISMATCH', `blob ${want.digest}: got ${what}`, { digest: want.digest });
}
