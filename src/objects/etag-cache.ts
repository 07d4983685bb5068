import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Digest, digestOfHex } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';

const MAX_ENTRIES = 1000;
const READ_BYTES = 1024 * 1024;

/** The sha256 of files that only ever change by rename: computed once for each inode and change. */
export class EtagCache {
  readonly #known = new Map<string, Digest>();

  async of(
    handle: FileHandle,
    { signal }: Cancelable,
  ): Promise<{ readonly sizeBytes: number; readonly sha256: Digest }> {
    const stats = await handle.stat({ bigint: true });
    const identity = identityOf(stats);
    const sizeBytes = Number(stats.size);
    const known = this.#known.get(identity);
    if (known !== undefined) return { sizeBytes, sha256: known };
    const sha256 = await this.hash(handle.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_BYTES }), {
      signal,
    });
    if (this.#known.size >= MAX_ENTRIES) this.#known.clear();
    this.#known.set(identity, sha256);
    return { sizeBytes, sha256 };
  }

  async hash(source: Readable, { signal }: Cancelable): Promise<Digest> {
    const hash = createHash('sha256');
    const sink = new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        hash.update(chunk);
        done();
      },
    });
    await pipeline(source, sink, { signal });
    return digestOfHex(hash.digest('hex'));
  }
}

function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}
