import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { type Cancelable, isErrorCode, toWorkerError, WorkerError } from '../errors/index.ts';
import { findNativeTool, type NativeToolPaths, ToolEvent } from '../native/index.ts';
import {
  createRunDirectory,
  type MountRecord,
  type RunDirectory,
  removeRunDirectory,
  writeMountRecord,
} from './mount-record.ts';
import { type ArchiveSource, sourceRequest } from './source.ts';

export interface MountOptions extends Cancelable {
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  /** What the person named, for the record. */
  readonly sourceName: string;
  readonly storageRef: string;
  /** Who shows the tree; default: the daemon chooses and says why. */
  readonly engine?: MountEngine;
}

export type MountEngine = 'auto' | 'erofs' | 'fuse';

const Mounted = z.object({
  pid: z.number().int(),
  mountpoint: z.string(),
  mountMs: z.number(),
  engine: z.string(),
  engineReason: z.string(),
});
export type Mounted = z.infer<typeof Mounted> & { readonly record: MountRecord; readonly runDirectory: RunDirectory };

/**
 * Starts a mount daemon for one archive and waits until the kernel has the mount. The daemon then lives on its own until
 * somebody unmounts. Throws the daemon's codes (MOUNT_POINT_IN_USE, CACHE_FILESYSTEM_UNSUPPORTED, …); nothing stays behind.
 */
export async function serveMount(source: ArchiveSource, mountpoint: string, options: MountOptions): Promise<Mounted> {
  const { signal, stateDir, tools } = options;
  const tool = findNativeTool('clipyard-mountd', tools);
  await mkdir(source.cacheDir, { recursive: true });
  const runDirectory = await createRunDirectory(stateDir);
  try {
    const mounted = await startDaemon(
      tool,
      { ...sourceRequest(source), mountpoint, runDir: runDirectory.path, engine: options.engine ?? 'auto' },
      runDirectory,
      signal,
    );
    const record = await writeMountRecord(runDirectory, {
      mountpoint: mounted.mountpoint,
      source: options.sourceName,
      storageRef: options.storageRef,
      pid: mounted.pid,
      startedAt: new Date().toISOString(),
    });
    return { ...mounted, record, runDirectory };
  } catch (thrown) {
    await removeRunDirectory(runDirectory);
    throw toWorkerError(thrown, `mount at ${mountpoint}`, 'MOUNT_FAILED');
  }
}

async function startDaemon(
  tool: string,
  request: unknown,
  runDirectory: RunDirectory,
  signal: AbortSignal,
): Promise<z.infer<typeof Mounted>> {
  const logPath = join(runDirectory.path, 'mountd.log');
  await using log = await open(logPath, 'a', 0o600);
  // Node types a stdio list with a descriptor in it without its pipes.
  const child = spawn(tool, ['serve'], {
    stdio: ['pipe', 'pipe', log.fd],
    detached: true,
  }) as ChildProcessByStdio<Writable, Readable, null>;
  child.on('error', () => undefined); // a spawn failure ends stdout; the message below then says what the log holds
  const abort = () => child.kill();
  signal.addEventListener('abort', abort, { once: true });
  try {
    child.stdin.on('error', () => undefined);
    child.stdin.write(`${JSON.stringify(request)}\n`);
    for await (const line of createInterface({ input: child.stdout })) {
      const event = ToolEvent.parse(JSON.parse(line));
      if (event.event === 'error') {
        throw new WorkerError(isErrorCode(event.code) ? event.code : 'MOUNT_FAILED', event.message, event.details);
      }
      if (event.event === 'result') return Mounted.parse(event.result);
    }
    signal.throwIfAborted();
    throw new WorkerError(
      'MOUNT_FAILED',
      `the mount daemon ended without a word: ${(await readFile(logPath, 'utf8')).slice(-500)}`,
    );
  } catch (thrown) {
    child.kill();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', abort);
    child.stdin.destroy();
    child.stdout.destroy();
    child.unref();
  }
}
