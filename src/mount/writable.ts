import { readdir, realpath } from 'node:fs/promises';
import { WorkerError } from '../errors/index.ts';
import { isMounted } from './mount-table.ts';
import { type Mounted, type MountOptions, mountArchive, unmountImage } from './mounts.ts';
import { mountOverlay } from './overlay.ts';
import type { ArchiveSource } from './source.ts';
import { createLower, removeLower, writeWritableRecord } from './writable-record.ts';

/** Taking back a mount whose overlay was refused. */
const UNMOUNT_DEADLINE_MS = 30_000;

/**
 * Mounts an archive with a writable overlay: the image below `<state>/lowers`, the overlay where the person wants it.
 * Throws what `mountArchive` and `mountOverlay` throw; nothing stays behind.
 */
export async function mountWritable(
  source: ArchiveSource,
  mountpoint: string,
  writable: string,
  options: MountOptions,
): Promise<Mounted> {
  const target = await emptyFolder(mountpoint);
  const lower = await realpath(await createLower(options));
  try {
    const mounted = await mountArchive(source, lower, options);
    try {
      // On record first: an overlay that nobody knows of could not be taken down in order.
      await writeWritableRecord({ mountpoint: target, lower, directory: writable });
      await mountOverlay({ lower, writable, target }, options);
    } catch (thrown) {
      await unmountImage(options, lower, { signal: AbortSignal.timeout(UNMOUNT_DEADLINE_MS) });
      throw thrown;
    }
    const record = { ...mounted.record, mountpoint: target, writable: { lower, directory: writable } };
    return { ...mounted, mountpoint: target, record };
  } catch (thrown) {
    await removeLower(lower);
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
