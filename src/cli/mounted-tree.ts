import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createWorkDirectory, removeWorkDirectory, unmount } from '../mount/index.ts';
import type { ImageTree } from '../release/index.ts';
import type { ArchiveFlags } from './archive-source.ts';
import type { CommandContext } from './context.ts';

/** Unmounting must work even when the command was interrupted. */
const UNMOUNT_DEADLINE_MS = 30_000;

/** Mounts an archive in a folder of this command's own; what a killed command leaves, a later one takes away. */
export async function mountedTree(uri: string, flags: ArchiveFlags, context: CommandContext): Promise<ImageTree> {
  const { mountDaemon, mountSource } = await import('./actions/mount.ts');
  const daemon = mountDaemon(context);
  const workDir = await createWorkDirectory(daemon, context);
  const path = join(workDir, 'image');
  try {
    await mkdir(path);
    await mountSource(uri, path, flags, context);
  } catch (thrown) {
    await removeWorkDirectory(workDir);
    throw thrown;
  }
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await unmount(daemon, path, { signal: AbortSignal.timeout(UNMOUNT_DEADLINE_MS) });
      await removeWorkDirectory(workDir);
    },
  };
}
