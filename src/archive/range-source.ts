import { open } from 'node:fs/promises';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { truncated } from './failure.ts';

/** Bytes at known places: a file, an object of a store, a blob of a registry. */
export interface RangeSource {
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`; throws ARCHIVE_TRUNCATED when there are fewer. */
  read(offset: number, length: number, options: Cancelable): Promise<Buffer>;
}

/** A range source that holds a descriptor. */
export type OpenRangeSource = RangeSource & AsyncDisposable;

/** A file as it is now. Throws PATH_NOT_FOUND, IO_FAILED, USAGE for a folder. */
export async function fileSource(path: string): Promise<OpenRangeSource> {
  const handle = await open(path, 'r').catch((thrown: unknown) => {
    throw toWorkerError(thrown, `open archive ${path}`);
  });
  const stats = await handle.stat();
  if (stats.isDirectory()) {
    await handle.close();
    throw new WorkerError('USAGE', `${path} is a folder; name an archive file`);
  }
  const sizeBytes = stats.size;
  return {
    sizeBytes,
    async read(offset, length, { signal }) {
      signal.throwIfAborted();
      requireInside(sizeBytes, offset, length);
      const buffer = Buffer.allocUnsafe(length);
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await handle
          .read(buffer, filled, length - filled, offset + filled)
          .catch((thrown: unknown) => {
            throw toWorkerError(thrown, `read archive ${path}`);
          });
        if (bytesRead === 0) throw truncated(`${path} became shorter while it was read`);
        filled += bytesRead;
      }
      return buffer;
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Bytes in memory. */
export function bytesSource(bytes: Uint8Array): RangeSource {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    sizeBytes: buffer.length,
    async read(offset, length, { signal }) {
      signal.throwIfAborted();
      requireInside(buffer.length, offset, length);
      return Promise.resolve(buffer.subarray(offset, offset + length));
    },
  };
}

/** Refuses a range that the source does not have. */
export function requireInside(sizeBytes: number, offset: number, length: number): void {
  if (length > sizeBytes - offset)
    throw truncated(`${length} bytes at ${offset} are wanted, the file has ${sizeBytes}`);
}
