import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { askDaemon, MountStat } from './control.ts';
import { listMountRecords, type MountRecord, removeRunDirectory, runDirectoryOf } from './mount-record.ts';

/** The record of the mount at a folder. Throws MOUNT_NOT_FOUND. */
export async function findMount(stateDir: string, mountpoint: string): Promise<MountRecord> {
  const path = await realpath(mountpoint).catch(() => mountpoint);
  const record = (await listMountRecords(stateDir)).findLast((candidate) => candidate.mountpoint === path);
  if (record === undefined)
    throw new WorkerError('MOUNT_NOT_FOUND', `nothing of ours is mounted at ${mountpoint}`, { mountpoint });
  return record;
}

export async function statMount(stateDir: string, mountpoint: string, { signal }: Cancelable): Promise<MountStat> {
  const record = await findMount(stateDir, mountpoint);
  return MountStat.parse(await askDaemon(controlSocket(stateDir, record), { op: 'stat' }, { signal }));
}

/**
 * Unmounts and forgets a mount, and gives its last statistics. Throws MOUNT_BUSY while a process uses it. A mount whose
 * daemon is gone already is only forgotten.
 */
export async function unmount(
  stateDir: string,
  mountpoint: string,
  { signal }: Cancelable,
): Promise<MountStat | undefined> {
  const record = await findMount(stateDir, mountpoint);
  const directory = runDirectoryOf(stateDir, record);
  try {
    await askDaemon(controlSocket(stateDir, record), { op: 'unmount' }, { signal });
    await processEnd(record.pid, signal);
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'MOUNT_NOT_FOUND') throw thrown;
    if (await isMounted(record.mountpoint)) {
      throw new WorkerError(
        'MOUNT_FAILED',
        `the daemon of ${mountpoint} is gone but the mount is not: run umount ${mountpoint}`,
        { mountpoint },
        { cause: thrown },
      );
    }
  }
  const stat = await lastStat(join(directory.path, 'stats.json'));
  await removeRunDirectory(directory);
  return stat;
}

function controlSocket(stateDir: string, record: MountRecord): string {
  return join(runDirectoryOf(stateDir, record).path, 'control.sock');
}

async function lastStat(path: string): Promise<MountStat | undefined> {
  try {
    return MountStat.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined; // a killed daemon left none
  }
}

async function processEnd(pid: number, signal: AbortSignal): Promise<void> {
  while (isAlive(pid)) await sleep(10, undefined, { signal });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Whether the kernel has a mount at the path (mountinfo, field 5, escapes as the kernel writes them). */
export async function isMounted(path: string): Promise<boolean> {
  const escaped = path.replaceAll(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[4] === escaped);
}
