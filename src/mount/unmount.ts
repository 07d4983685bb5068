import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, realpath, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Cancelable, messageOf, WorkerError } from '../errors/index.ts';
import { askDaemon, MountStat } from './control.ts';
import { listMountRecords, type MountRecord, removeRunDirectory, runDirectoryOf } from './mount-record.ts';
import { unmountOverlay } from './overlay.ts';

/** A daemon that nothing holds is gone in milliseconds; on a loaded machine it writes its statistics first. */
const END_DEADLINE_MS = 10_000;

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
  if (!isAlive(record.pid))
    throw new WorkerError(
      'MOUNT_NOT_FOUND',
      `the daemon ${record.pid} of ${mountpoint} is gone; clean up with clipyard umount ${mountpoint}`,
      { mountpoint },
    );
  return MountStat.parse(await askDaemon(controlSocket(stateDir, record), { op: 'stat' }, { signal }));
}

/**
 * Unmounts and forgets a mount, and gives its last statistics. Throws MOUNT_BUSY while a process uses it, also through
 * another mount on top of it. Of a mount whose daemon was killed the rest is taken away.
 */
export async function unmount(
  stateDir: string,
  mountpoint: string,
  { signal }: Cancelable,
): Promise<MountStat | undefined> {
  const record = await findMount(stateDir, mountpoint);
  const directory = runDirectoryOf(stateDir, record);
  const image = record.writable?.lower ?? record.mountpoint;
  if (record.writable !== undefined && (await isMounted(record.mountpoint))) await unmountOverlay(record.mountpoint);
  try {
    await askDaemon(controlSocket(stateDir, record), { op: 'unmount' }, { signal });
    await processEnd(record, signal);
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'MOUNT_NOT_FOUND') throw thrown;
    if (isAlive(record.pid) && (await isMounted(image))) throw thrown;
    if (await isMounted(image)) await unmountLeftOver(image);
  }
  const stat = await lastStat(join(directory.path, 'stats.json'));
  await removeRunDirectory(directory);
  if (record.writable !== undefined) await rmdir(image).catch(() => undefined); // not while anything is mounted there
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

/** The daemon ends when the kernel lets go of the last file; an overlay on top keeps it. */
async function processEnd({ mountpoint, pid }: MountRecord, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.timeout(END_DEADLINE_MS);
  while (isAlive(pid)) {
    if (deadline.aborted)
      throw new WorkerError(
        'MOUNT_BUSY',
        `${mountpoint} is unmounted, but another mount on top of it keeps it in use; its daemon ${pid} ends with that one`,
        { mountpoint, pid },
      );
    await sleep(10, undefined, { signal });
  }
}

async function unmountLeftOver(mountpoint: string): Promise<void> {
  try {
    // What fusermount3 mounted for a user only it may take away.
    await (process.getuid?.() === 0
      ? promisify(execFile)('umount', [mountpoint])
      : promisify(execFile)('fusermount3', ['-u', '--', mountpoint]));
  } catch (thrown) {
    const busy = messageOf(thrown).includes('busy');
    throw new WorkerError(
      busy ? 'MOUNT_BUSY' : 'MOUNT_FAILED',
      `the daemon of ${mountpoint} is gone and its mount cannot be taken away: ${messageOf(thrown)}`,
      { mountpoint },
      { cause: thrown },
    );
  }
}

/** A zombie is dead: in a container PID 1 may not collect what was left to it (proc(5), field 3 of stat). */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** Whether the kernel has a mount at the path. */
export async function isMounted(path: string): Promise<boolean> {
  return (await mountpoints()).includes(path);
}

/** Mounts inside a folder, the newest first: the order in which they can be taken away. */
export async function mountsBelow(directory: string): Promise<readonly string[]> {
  return (await mountpoints()).filter((path) => path.startsWith(`${directory}/`)).toReversed();
}

/** All mount points in the order they were made (proc(5), mountinfo, field 5: blanks and backslashes as octal escapes). */
async function mountpoints(): Promise<readonly string[]> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  return mounts
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) =>
      path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}
