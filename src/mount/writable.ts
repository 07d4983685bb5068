import { mkdir, mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import { writeMountRecord } from './mount-record.ts';
import { mountOverlay } from './overlay.ts';
import { type Mounted, type MountOptions, serveMount } from './serve.ts';
import type { ArchiveSource } from './source.ts';
import { isMounted, unmount } from './unmount.ts';

/** Taking back a mount whose overlay was refused. */
const UNMOUNT_DEADLINE_MS = 30_000;

/**
 * Mounts an archive with a writable overlay: the image below `<state>/lowers`, the overlay where the person wants it.
 * Throws what `serveMount` and `mountOverlay` throw; nothing stays behind.
 */
export async function serveWritable(
  source: ArchiveSource,
  mountpoint: string,
  writable: string,
  options: MountOptions,
): Promise<Mounted> {
  const { stateDir } = options;
  const target = await emptyFolder(mountpoint);
  const root = join(stateDir, 'lowers');
  await mkdir(root, { recursive: true, mode: 0o700 });
  const lower = await mkdtemp(join(root, 'image-'));
  try {
    const mounted = await serveMount(source, lower, options);
    try {
      await mountOverlay({ lower, writable, target }, options);
    } catch (thrown) {
      await unmount(stateDir, lower, { signal: AbortSignal.timeout(UNMOUNT_DEADLINE_MS) });
      throw thrown;
    }
    const record = await writeMountRecord(mounted.runDirectory, {
      ...mounted.record,
      mountpoint: target,
      writable: { lower: mounted.mountpoint, directory: writable },
    });
    return { ...mounted, mountpoint: record.mountpoint, record };
  } catch (thrown) {
    await rm(lower, { recursive: true, force: true });
    throw thrown;
  }
}

/** The real path of a folder that a mount can go on. Throws MOUNT_POINT_INVALID, MOUNT_POINT_IN_USE, as the daemon does. */
async function emptyFolder(mountpoint: string): Promise<string> {
  const invalid = (cause: unknown): never => {
    throw new WorkerError('MOUNT_POINT_INVALID', `${mountpoint} is no folder`, { mountpoint }, { cause });
  };
  const path = await realpath(mountpoint).catch(invalid);
  const names = await readdir(path).catch(invalid);
  if (names.length > 0 || (await isMounted(path)))
    throw new WorkerError('MOUNT_POINT_IN_USE', `${mountpoint} is not empty or has a mount on it`, { mountpoint });
  return path;
}
