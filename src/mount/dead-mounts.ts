import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { messageOf, WorkerError } from '../errors/index.ts';
import { isAlive } from '../native/index.ts';
import type { MountDaemon } from './mount-daemon.ts';
import { listMountFolders, type MountFolder, type MountRecord, removeMountFolder } from './mount-record.ts';
import { mountTable } from './mount-table.ts';

/** A mount that no process serves any more. */
export interface DeadMount {
  readonly folder: MountFolder;
  readonly record: MountRecord;
  /** Whether the kernel has it still; after a reboot it does not. */
  readonly mounted: boolean;
}

/** What daemons left that were killed together with their holders, or ended with an earlier boot; oldest first. */
export async function listDeadMounts(daemon: Pick<MountDaemon, 'stateDir'>): Promise<readonly DeadMount[]> {
  const table = await mountTable();
  const bootId = await currentBootId();
  const dead: DeadMount[] = [];
  for (const folder of await listMountFolders(daemon)) {
    const { record } = folder;
    if (record === undefined) continue;
    if (!isOfAnotherBoot(record, bootId) && (await isDaemon(record.pid))) continue;
    const mounted = table.some(({ device, path }) => path === record.mountpoint && device === record.device);
    dead.push({ folder, record, mounted });
  }
  return dead;
}

/**
 * Takes a dead mount away. Its readers have errors already; `lazily` takes it out of the tree whoever uses it. Throws
 * MOUNT_BUSY, MOUNT_FAILED.
 */
export async function removeDeadMount(
  { folder, mounted, record }: DeadMount,
  { lazily }: { readonly lazily: boolean },
): Promise<void> {
  const { mountpoint } = record;
  try {
    if (mounted) await takeAway(mountpoint, lazily);
  } catch (thrown) {
    throw new WorkerError(
      messageOf(thrown).includes('busy') ? 'MOUNT_BUSY' : 'MOUNT_FAILED',
      `the daemon of ${mountpoint} is gone and its mount cannot be taken away: ${messageOf(thrown)}`,
      { mountpoint },
      { cause: thrown },
    );
  }
  await removeMountFolder(folder);
}

/** What fusermount3 mounted for a user only it may take away. */
export async function takeAway(path: string, lazily: boolean): Promise<void> {
  if (process.getuid?.() === 0) await promisify(execFile)('umount', [...(lazily ? ['--lazy'] : []), path]);
  else await promisify(execFile)('fusermount3', ['-u', ...(lazily ? ['-z'] : []), '--', path]);
}

/** A machine that starts as it always does gives its daemon the id that the one before had. */
function isOfAnotherBoot(record: MountRecord, bootId: string): boolean {
  return record.bootId !== '' && bootId !== '' && record.bootId !== bootId;
}

/** proc(5), `/proc/sys/kernel/random/boot_id`. */
async function currentBootId(): Promise<string> {
  return await readFile('/proc/sys/kernel/random/boot_id', 'latin1').then(
    (text) => text.trim(),
    () => '',
  );
}

/** Process ids are used again: another program of the same id serves nothing. */
async function isDaemon(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false;
  return await readFile(`/proc/${pid}/cmdline`, 'latin1').then(
    (line) => line.split('\0')[1] === 'daemon',
    () => false,
  );
}
