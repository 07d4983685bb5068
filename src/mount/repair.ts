import type { Cancelable } from '../errors/index.ts';
import { isAlive } from '../native/index.ts';
import { listDeadMounts, removeDeadMount, takeAway } from './dead-mounts.ts';
import type { MountDaemon } from './mount-daemon.ts';
import { listMountFolders, type MountRecord, removeMountFolder } from './mount-record.ts';
import { isMounted } from './mount-table.ts';
import { unmountImage } from './mounts.ts';
import { removeStaleSockets } from './stale-sockets.ts';
import { listWritableRecords, removeLower, type WritableRecord } from './writable-record.ts';

/** A folder without a record belongs to a mount that is being made, or to one that never was. */
const BEING_MADE_MS = 60_000;

/**
 * Takes away all that is dead, what is left of mounts that never came up, image mounts whose overlay somebody unmounted, and
 * the sockets of dead daemons.
 * Gives what was taken away.
 */
export async function repairMounts(daemon: MountDaemon, { signal }: Cancelable): Promise<readonly MountRecord[]> {
  const dead = await listDeadMounts(daemon);
  const writable = await listWritableRecords(daemon);
  const overlayOf = ({ mountpoint }: MountRecord) => writable.find(({ lower }) => lower === mountpoint);
  for (const mount of dead) {
    const overlay = overlayOf(mount.record);
    if (overlay !== undefined && (await isMounted(overlay.mountpoint))) await takeAway(overlay.mountpoint, true);
    await removeDeadMount(mount, { lazily: true });
  }
  for (const record of writable) {
    if (await isMounted(record.mountpoint)) continue;
    if (await isLeftBelow(record)) await unmountImage(daemon, record.lower, { signal });
    if (!(await isMounted(record.lower))) await removeLower(record.lower);
  }
  for (const folder of await listMountFolders(daemon))
    if (folder.record === undefined && folder.ageMs > BEING_MADE_MS) await removeMountFolder(folder);
  await removeStaleSockets(daemon, { signal });
  return dead.map(({ record }) => ({ ...record, mountpoint: overlayOf(record)?.mountpoint ?? record.mountpoint }));
}

/** An image mount whose overlay is gone, and not one that a command is about to put an overlay on. */
async function isLeftBelow({ lower, makerPid }: WritableRecord): Promise<boolean> {
  return (makerPid === undefined || !isAlive(makerPid)) && (await isMounted(lower));
}
