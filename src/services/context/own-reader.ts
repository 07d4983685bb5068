import { createHash, hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ContextFile } from '../../buildkit/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { contextChanged, type FileReader } from './file-reader.ts';

/** Longest stretch of synchronous work before others have a turn. */
const SLICE_MS = 10;
const READ_BYTES = 256 * 1024;

/** Reads in this process, one file after another: what is quickest for a few, and works everywhere. */
export function ownReader({ signal }: Cancelable): FileReader {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  return {
    async read(files) {
      const contents: string[] = [];
      let sliceEndMs = performance.now() + SLICE_MS;
      for (const file of files) {
        contents.push(contentOf(file, buffer));
        if (performance.now() < sliceEndMs) continue;
        await nextTurn();
        signal.throwIfAborted();
        sliceEndMs = performance.now() + SLICE_MS;
      }
      return contents;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function contentOf(file: ContextFile, buffer: Buffer): string {
  try {
    // Not through a link and not waiting on a pipe that took the file's place.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
    const descriptor = openSync(file.hostPath, flags);
    try {
      // Before a byte is read: of a device even that may be too much.
      if (!isListed(descriptor, file)) throw contextChanged(file);
      const content = readWhole(descriptor, Number(file.stats.size), buffer);
      if (content === undefined || !isListed(descriptor, file)) throw contextChanged(file);
      return content;
    } finally {
      closeSync(descriptor);
    }
  } catch (thrown) {
    if (thrown instanceof WorkerError) throw thrown;
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'ENODEV'].includes(systemCodeOf(thrown) ?? ''))
      throw contextChanged(file);
    throw toWorkerError(thrown, `read ${file.path.toString()} of the context`, 'IO_FAILED');
  }
}

function isListed(descriptor: number, { stats }: ContextFile): boolean {
  const now = fstatSync(descriptor, { bigint: true });
  return now.isFile() && now.ino === stats.ino && now.size === stats.size && now.ctimeNs === stats.ctimeNs;
}

/** Small files in one call, which is most of a context. undefined: there is more than was listed. */
function readWhole(descriptor: number, sizeBytes: number, buffer: Buffer): string | undefined {
  const first = readSync(descriptor, buffer);
  if (first < buffer.length) return hash('sha256', buffer.subarray(0, first), 'hex');
  const digest = createHash('sha256').update(buffer);
  let done = first;
  for (let count = readSync(descriptor, buffer); count > 0; count = readSync(descriptor, buffer)) {
    done += count;
    if (done > sizeBytes) return undefined; // it may grow for ever
    digest.update(buffer.subarray(0, count));
  }
  return digest.digest('hex');
}
