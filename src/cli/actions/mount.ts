import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type MountableArchive, openArchiveSource } from '../../jobs/index.ts';
import {
  listMounts,
  type MountDaemon,
  type Mounted,
  type MountStat,
  mountArchive,
  repairMounts,
  statMount,
  unmount,
} from '../../mount/index.ts';
import { formatPlatform, localPlatform } from '../../oci/index.ts';
import { formatReference } from '../../registry/index.ts';
import { blobOrigin } from '../blob-origin.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { objectStore, registryClient } from '../services.ts';

export interface MountFlags {
  readonly store?: string;
  readonly cache?: string;
  readonly storageRef?: string;
  readonly platform?: string;
  readonly plainHttp?: boolean;
}

export interface MountsFlags {
  readonly repair?: boolean;
}

export async function mount(
  source: string,
  dir: string,
  flags: MountFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { mounted, storageRef } = await mountSource(source, dir, flags, context);
  const { engine, mountMs, mountpoint, pid, record } = mounted;
  const result = { mountpoint, source, storageRef, engine, mountMs, pid, id: record.id };
  writeResult(context.stdout, result, json, () => `${mountpoint}: mounted (${engine}, ${mountMs.toFixed(1)} ms)\n`);
}

export async function umount(dir: string, json: boolean, context: CommandContext): Promise<void> {
  const stat = await unmount(mountDaemon(context), resolve(dir), context);
  const did = stat === undefined ? '' : ` (${statLine(stat)})`;
  writeResult(context.stdout, { mountpoint: resolve(dir), stat }, json, () => `${dir}: unmounted${did}\n`);
}

/** Lists mounts; `repair` first takes away what has no daemon any more, and says what that was. */
export async function mounts(flags: MountsFlags, json: boolean, context: CommandContext): Promise<void> {
  const daemon = mountDaemon(context);
  const removed = flags.repair === true ? await repairMounts(daemon) : undefined;
  for (const { mountpoint } of removed ?? []) context.log.info({ mountpoint }, 'took away a mount without a daemon');
  const records = await listMounts(daemon, context);
  const rows = records.map((r) => [r.mountpoint, r.source, r.storageRef, String(r.pid), r.startedAt]);
  writeResult(context.stdout, removed === undefined ? records : { removed, mounts: records }, json, () =>
    formatTable(['mountpoint', 'source', 'blobs', 'pid >', 'since'], rows),
  );
}

export async function stat(dir: string, json: boolean, context: CommandContext): Promise<void> {
  const found = await statMount(mountDaemon(context), resolve(dir), context);
  const rows = found.layers.map(({ diffId, mode, reason }) => [diffId.slice(0, 19), mode, reason ?? '']);
  writeResult(
    context.stdout,
    found,
    json,
    () => `${statLine(found)}\n${formatTable(['layer', 'mode', 'reason'], rows)}`,
  );
}

/** Where the commands' mount daemon is. */
export function mountDaemon({ settings, tools }: CommandContext): MountDaemon {
  return { stateDir: settings.stateDir, mountSocket: settings.mountSocket, tools };
}

/** Fetches what a mount needs of the archive and has the daemon mount it. */
export async function mountSource(
  source: string,
  dir: string,
  flags: MountFlags,
  context: CommandContext,
): Promise<{ readonly mounted: Mounted; readonly archive: MountableArchive; readonly storageRef: string }> {
  const { log, settings, signal } = context;
  const cacheDir = resolve(flags.cache ?? settings.cacheDir);
  await mkdir(cacheDir, { recursive: true });
  await using client = await registryClient(context, flags);
  const archive = await openArchiveSource(source, {
    client,
    cacheDir,
    signal,
    openStore: (url) => objectStore(context, url ?? flags.store),
    platform: flags.platform ?? formatPlatform(localPlatform()),
  });
  const origin = await blobOrigin(archive.storage, flags, context);
  const storageRef = flags.storageRef ?? formatReference(archive.storage);
  if (flags.storageRef === undefined)
    log.info({ source_ref: storageRef }, 'cached source image reference from metadata');
  const mounted = await mountArchive({ archive: archive.path, cacheDir, origin }, resolve(dir), {
    ...mountDaemon(context),
    signal,
    sourceName: source,
    storageRef,
  });
  return { mounted, archive, storageRef };
}

export function statLine({ fetchedBytes, requests, wantedBytes }: MountStat): string {
  return `${formatBytes(wantedBytes)} wanted, ${formatBytes(fetchedBytes)} fetched in ${requests} requests`;
}
