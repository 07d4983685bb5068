import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { isAlive } from '../native/index.ts';
import type { MountDaemon } from './mount-daemon.ts';
import { mountsBelow } from './mount-table.ts';
import { unmount } from './mounts.ts';

/** The folder of one `run`: image mount, overlay, bundle. Its name carries the process that owns it. */
export async function createWorkDirectory(daemon: MountDaemon, { signal }: Cancelable): Promise<string> {
  const root = join(daemon.stateDir, 'runs');
  await makeDirectory(root);
  await sweepStale(daemon, root, { signal });
  return await mkdtemp(join(root, `run-${process.pid}-`));
}

/**
 * Removes a run's folder. Never while something is mounted below it: through an overlay the removal would reach what the
 * person wanted to keep. Throws MOUNT_BUSY.
 */
export async function removeWorkDirectory(directory: string): Promise<void> {
  const [mounted] = await mountsBelow(directory);
  if (mounted !== undefined)
    throw new WorkerError('MOUNT_BUSY', `${mounted} is still mounted; the next run takes it away when it is free`, {
      mountpoint: mounted,
    });
  await rm(directory, { recursive: true, force: true });
}

/** What a killed `run` left: its overlay and image mount go when no process uses them any more, then its folder. */
async function sweepStale(daemon: MountDaemon, root: string, { signal }: Cancelable): Promise<void> {
  for (const name of await readdir(root)) {
    const owner = Number(/^run-(\d+)-/.exec(name)?.[1]);
    if (!Number.isSafeInteger(owner) || (isAlive(owner) && (await isClipyard(owner)))) continue;
    const directory = join(root, name);
    try {
      for (const overlay of (await mountsBelow(directory)).filter((path) => path.endsWith('/rootfs')))
        await promisify(execFile)('umount', [overlay]);
      await unmount(daemon, join(directory, 'image'), { signal }).catch(ignoreNoMount);
      await removeWorkDirectory(directory);
    } catch {
      signal.throwIfAborted(); // in use: a later run tries again
    }
  }
}

function ignoreNoMount(thrown: unknown): void {
  if (!(thrown instanceof WorkerError) || thrown.code !== 'MOUNT_NOT_FOUND') throw thrown;
}

/** Process ids are used again; another program of the same id owns nothing here. */
async function isClipyard(pid: number): Promise<boolean> {
  return await readFile(`/proc/${pid}/cmdline`, 'latin1').then(
    (line) => line.includes('cli.ts') || line.includes('clipyard'),
    () => false,
  );
}
