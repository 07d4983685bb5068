import { createHash, hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ContextFile, OpenedContext } from '../../buildkit/index.ts';
import type { Digest } from '../../digest/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { type BuildInput, ContextHash } from './context-hash.ts';
import type { StatCache } from './stat-cache.ts';

export interface HashedContext {
  readonly digest: Digest;
  readonly entries: number;
  /** Of which so many were read; the others were known by their stats. */
  readonly filesRead: number;
  readonly bytesRead: number;
}

/** Longest stretch of synchronous work before others have a turn. */
const SLICE_MS = 10;
const READ_BYTES = 256 * 1024;

/** The context hash of what a build would send. Throws CONTEXT_CHANGED, IO_FAILED. */
export async function hashContext(
  context: OpenedContext,
  input: Omit<BuildInput, 'dockerfile'>,
  { cache, signal }: Cancelable & { readonly cache: StatCache },
): Promise<HashedContext> {
  const whole = new ContextHash({ ...input, dockerfile: context.dockerfile });
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let [entries, filesRead, bytesRead] = [0, 0, 0];
  let sliceEndMs = performance.now() + SLICE_MS;
  for (const file of context.entries()) {
    entries += 1;
    let content = file.type === 'file' && !file.stats.isSocket() ? cache.get(file.stats) : undefined;
    if (file.type === 'file' && content === undefined && !file.stats.isSocket()) {
      const readAtNs = BigInt(Date.now()) * 1_000_000n;
      content = contentOf(file, buffer);
      cache.set(file.stats, content, readAtNs);
      filesRead += 1;
      bytesRead += Number(file.stats.size);
    }
    whole.add(file, content);
    if (performance.now() < sliceEndMs) continue;
    await nextTurn();
    signal.throwIfAborted();
    sliceEndMs = performance.now() + SLICE_MS;
  }
  await cache.save({ signal });
  return { digest: whole.digest(), entries, filesRead, bytesRead };
}

/** sha256 of a file's bytes, which must still be the file that was listed. */
function contentOf(file: ContextFile, buffer: Buffer): string {
  try {
    // Not through a link and not waiting on a pipe that took the file's place.
    const descriptor = openSync(file.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const content = readWhole(descriptor, buffer);
      const { ctimeNs, ino, size } = fstatSync(descriptor, { bigint: true });
      if (ino !== file.stats.ino || size !== file.stats.size || ctimeNs !== file.stats.ctimeNs) throw changed(file);
      return content;
    } finally {
      closeSync(descriptor);
    }
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(systemCodeOf(thrown) ?? '')) throw changed(file);
    throw toWorkerError(thrown, `read ${file.path.toString()} of the context`, 'IO_FAILED');
  }
}

/** Small files in one call, which is most of a context. */
function readWhole(descriptor: number, buffer: Buffer): string {
  const first = readSync(descriptor, buffer);
  if (first < buffer.length) return hash('sha256', buffer.subarray(0, first), 'hex');
  const digest = createHash('sha256').update(buffer);
  for (let count = readSync(descriptor, buffer); count > 0; count = readSync(descriptor, buffer))
    digest.update(buffer.subarray(0, count));
  return digest.digest('hex');
}

function changed(file: ContextFile): WorkerError {
  const path = file.path.toString();
  return new WorkerError('CONTEXT_CHANGED', `${path} changed while the context was looked at`, { path });
}
