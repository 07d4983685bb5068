import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { MountableArchive } from '../../jobs/index.ts';
import {
  listMountRecords,
  type MountEngine,
  type Mounted,
  type MountStat,
  serveMount,
  serveWritable,
  statMount,
  unmount,
} from '../../mount/index.ts';
import { formatReference } from '../../registry/index.ts';
import { type ArchiveFlags, mountableArchive } from '../archive-source.ts';
import { blobOrigin } from '../blob-origin.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';

export interface MountFlags extends ArchiveFlags {
  readonly engine?: MountEngine;
  /** Where changes go; absent: read-only. */
  readonly rw?: string | undefined;
}

export async function mount(
  source: string,
  dir: string,
  flags: MountFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { mounted, storageRef } = await mountSource(source, dir, flags, context);
  const { engine, engineReason, mountMs, mountpoint, pid, record } = mounted;
  const { writable } = record;
  const result = { mountpoint, source, storageRef, engine, engineReason, mountMs, pid, id: record.id, writable };
  writeResult(context.stdout, result, json, () => `${mountpoint}: mounted (${engine}, ${mountMs.toFixed(1)} ms)\n`);
}

export async function umount(dir: string, json: boolean, context: CommandContext): Promise<void> {
  const stat = await unmount(context.settings.stateDir, resolve(dir), context);
  const did = stat === undefined ? '' : ` (${statLine(stat)})`;
  writeResult(context.stdout, { mountpoint: resolve(dir), stat }, json, () => `${dir}: unmounted${did}\n`);
}

export async function mounts(json: boolean, context: CommandContext): Promise<void> {
  const records = await listMountRecords(context.settings.stateDir);
  const rows = records.map((r) => [
    r.mountpoint,
    r.source,
    r.storageRef,
    String(r.pid),
    r.startedAt,
    r.writable?.directory ?? '',
  ]);
  writeResult(context.stdout, records, json, () =>
    formatTable(['mountpoint', 'source', 'blobs', 'pid >', 'since', 'changes in'], rows),
  );
}

export async function stat(dir: string, json: boolean, context: CommandContext): Promise<void> {
  const found = await statMount(context.settings.stateDir, resolve(dir), context);
  const rows = found.layers.map(({ diffId, mode, reason }) => [diffId.slice(0, 19), mode, reason ?? '']);
  writeResult(
    context.stdout,
    found,
    json,
    () => `${statLine(found)}\n${formatTable(['layer', 'mode', 'reason'], rows)}`,
  );
}

/** Fetches what a mount needs of the archive and starts its daemon. */
export async function mountSource(
  source: string,
  dir: string,
  flags: MountFlags,
  context: CommandContext,
): Promise<{ readonly mounted: Mounted; readonly archive: MountableArchive; readonly storageRef: string }> {
  const { log, settings, signal, tools } = context;
  const cacheDir = resolve(flags.cache ?? settings.cacheDir);
  await mkdir(cacheDir, { recursive: true });
  const archive = await mountableArchive(source, flags, context);
  const origin = await blobOrigin(archive.storage, flags, context);
  const storageRef = flags.storageRef ?? formatReference(archive.storage);
  if (flags.storageRef === undefined)
    log.info({ source_ref: storageRef }, 'cached source image reference from metadata');
  const options = {
    signal,
    stateDir: settings.stateDir,
    tools,
    sourceName: source,
    storageRef,
    ...(flags.engine !== undefined && { engine: flags.engine }),
  };
  const found = { archive: archive.path, archiveAddress: archive.address, cacheDir, origin };
  const mounted =
    flags.rw === undefined
      ? await serveMount(found, resolve(dir), options)
      : await serveWritable(found, resolve(dir), resolve(flags.rw), options);
  log.info({ engine: mounted.engine, reason: mounted.engineReason }, 'mount engine chosen');
  return { mounted, archive, storageRef };
}

export function statLine({ fetchedBytes, requests, wantedBytes }: MountStat): string {
  return `${formatBytes(wantedBytes)} wanted, ${formatBytes(fetchedBytes)} fetched in ${requests} requests`;
}
