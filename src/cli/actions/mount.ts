import { join, resolve } from 'node:path';
import { messageOf, toWorkerError } from '../../errors/index.ts';
import { makeDirectory, namesIn } from '../../files/index.ts';
import { dropDamaged, type MountableArchive } from '../../jobs/index.ts';
import {
  listMounts,
  type MountDaemon,
  type MountEngine,
  type Mounted,
  type MountStat,
  mountArchive,
  mountWritable,
  type PageCache,
  repairMounts,
  statMount,
  traceMount,
  unmount,
} from '../../mount/index.ts';
import type { ImageConfig } from '../../oci/index.ts';
import { formatReference } from '../../registry/index.ts';
import type { Explanation } from '../../trace/index.ts';
import { type ArchiveFlags, mountableArchive } from '../archive-source.ts';
import { blobOrigin } from '../blob-origin.ts';
import type { CommandContext } from '../context.ts';
import type { ListingFlags } from '../named-archive.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { parseBandwidth, parseCount, parseFree, parseSize } from '../parse-options.ts';
import type { PlannedRecording, RecordingFlags, recordingOf } from '../recording.ts';

/** As many as the daemon itself takes. */
const REQUESTS = { min: 1, max: 1024 };

export interface MountFlags extends ArchiveFlags, RecordingFlags {
  readonly engine?: MountEngine;
  /** Servers to ask for blobs before the registry. */
  readonly mirror?: readonly string[];
  /** A store to read the blobs from instead of the registry. */
  readonly blobs?: string;
  readonly maxRequests?: string;
  readonly fetchMemory?: string;
  readonly bandwidth?: string;
  /** What a daemon that this command starts keeps the cache below. */
  readonly cacheSize?: string;
  /** And what it keeps free on the cache's filesystem. */
  readonly cacheMinFree?: string;
  /** Keep the layers in the cache, also when the mount is gone. */
  readonly pin?: boolean;
  readonly pageCache?: PageCache;
  /** Where changes go; absent: read-only. */
  readonly rw?: string | undefined;
}

/** Files that a table shows; a document has all. */
const SHOWN_FILES = 20;

export interface StatFlags extends ListingFlags {
  /** The archive that names the files. */
  readonly files?: string;
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
  const { engine, engineReason, mountMs, mountpoint, pid, record } = mounted;
  const { id, writable } = record;
  const mountedAt = new Date().toISOString();
  const result = { mountpoint, source, storageRef, engine, engineReason, mountMs, mountedAt, pid, id, writable };
  writeResult(context.stdout, result, json, () => `${mountpoint}: mounted (${engine}, ${mountMs.toFixed(1)} ms)\n`);
}

export async function umount(dir: string, json: boolean, context: CommandContext): Promise<void> {
  const stat = await unmount(mountDaemon(context), resolve(dir), context);
  await publishStarts(context);
  const did = stat === undefined ? '' : ` (${statLine(stat)})`;
  writeResult(context.stdout, { mountpoint: resolve(dir), stat }, json, () => `${dir}: unmounted${did}\n`);
}

/** Lists mounts; `repair` first takes away what has no daemon any more, and says what that was. */
export async function mounts(flags: MountsFlags, json: boolean, context: CommandContext): Promise<void> {
  const daemon = mountDaemon(context);
  const removed = flags.repair === true ? await repairMounts(daemon, context) : undefined;
  for (const { mountpoint } of removed ?? []) context.log.info({ mountpoint }, 'took away a mount without a daemon');
  const records = await listMounts(daemon, context);
  const rows = records.map((r) => [
    r.mountpoint,
    r.source,
    r.storageRef,
    String(r.pid),
    r.startedAt,
    r.engine,
    r.writable?.directory ?? '',
  ]);
  writeResult(context.stdout, removed === undefined ? records : { removed, mounts: records }, json, () =>
    formatTable(['mountpoint', 'source', 'blobs', 'pid >', 'since', 'engine', 'changes in'], rows),
  );
}

export async function stat(dir: string, flags: StatFlags, json: boolean, context: CommandContext): Promise<void> {
  const stats = await statMount(mountDaemon(context), resolve(dir), context);
  const files = flags.files === undefined ? undefined : await slowestFiles(dir, flags.files, flags, context);
  const found = { ...stats, ...(files !== undefined && { files }) };
  const rows = found.layers.map(({ diffId, mode, reason }) => [diffId.slice(0, 19), mode, reason ?? '']);
  writeResult(
    context.stdout,
    found,
    json,
    () => `${statLine(found)}\n${readsText(found)}${formatTable(['layer', 'mode', 'reason'], rows)}${filesText(files)}`,
  );
}

/** How reads were answered, how long they waited, and what came of a profile. */
function readsText({ amplification, replay, tiers, waitedUs, waits }: MountStat): string {
  const bound = (us?: number) => (us === undefined ? 'longer' : `up to ${us / 1000} ms`);
  const parts = [
    ...(amplification === undefined
      ? []
      : [`amplification ${amplification.toFixed(2)} (fetched bytes are compressed)\n`]),
    formatTable(
      ['tier', 'reads >', 'share >', 'bytes >'],
      tiers.map(({ plainBytes, reads, share, tier }) => [
        tier,
        String(reads),
        `${(share * 100).toFixed(1)} %`,
        formatBytes(plainBytes),
      ]),
    ),
    formatTable(
      [`waits (${(waitedUs / 1000).toFixed(0)} ms in all)`, 'reads >'],
      waits.filter((wait) => wait.reads > 0).map((wait) => [bound(wait.upToUs), String(wait.reads)]),
    ),
    ...(replay === undefined
      ? []
      : [
          `profile: ${replay.state}; of ${replay.chunks} chunks ${replay.mapped} are in this image, ${replay.fetched} fetched ahead, ${replay.used} used, ${replay.unforeseen} unforeseen\n`,
        ]),
  ];
  return parts.map((part) => `${part}\n`).join('');
}

function records({ complete, entry, profile, record, trace }: RecordingFlags): boolean {
  return [complete, entry, profile, record, trace].some((flag) => flag !== undefined);
}

/** Most mounts record nothing and load none of it. */
async function recordingFor(...args: Parameters<typeof recordingOf>): Promise<PlannedRecording> {
  return await (await import('../recording.ts')).recordingOf(...args);
}

/** What was recorded on mounts that have ended becomes a part of their images' profiles; most states have none. */
export async function publishStarts(context: CommandContext, signal = context.signal): Promise<void> {
  if ((await namesIn(join(context.settings.stateDir, 'recordings'))).length === 0) return;
  await (await import('../recording.ts')).publishEnded(context, signal);
}

/** What the mount waited for, by file; the archive's list names them. */
async function slowestFiles(
  dir: string,
  archive: string,
  flags: ListingFlags,
  context: CommandContext,
): Promise<Explanation['files']> {
  const { explain, parseTrace } = await import('../../trace/index.ts');
  const { listingOf } = await import('../trace-input.ts');
  const trace = parseTrace(await traceMount(mountDaemon(context), resolve(dir), context));
  return explain(trace, await listingOf(archive, flags, context)).files;
}

function filesText(files: Explanation['files'] = []): string {
  const rows = files
    .slice(0, SHOWN_FILES)
    .map((file) => [
      file.path,
      String(file.touches),
      formatBytes(file.storedBytes),
      `${(file.waitUs / 1000).toFixed(1)} ms`,
    ]);
  return rows.length === 0 ? '' : `\n${formatTable(['slowest files', 'reads >', 'fetched >', 'waited >'], rows)}`;
}

/** Where the commands' mount daemon is. */
export function mountDaemon({ settings, tools }: CommandContext): MountDaemon {
  const { mountOptions, mountSocket, stateDir } = settings;
  return { stateDir, mountSocket, tools, daemonOptions: mountOptions };
}

export interface MountedSource {
  readonly mounted: Mounted;
  readonly archive: MountableArchive;
  readonly storageRef: string;
}

/**
 * Fetches what a mount needs of the archive and has the daemon mount it. What was kept of it in the cache and is damaged, as the daemon
 * finds before it mounts, is fetched or made again, once.
 */
export async function mountSource(
  source: string,
  dir: string,
  flags: MountFlags,
  context: CommandContext,
  entryOf: (config: ImageConfig) => string = () => '',
): Promise<MountedSource> {
  const cacheDir = resolve(flags.cache ?? context.settings.cacheDir);
  await makeCacheDirectory(cacheDir);
  const archive = await mountableArchive(source, flags, context);
  const mount = (found: MountableArchive) =>
    mountFound(found, source, dir, { ...flags, cache: cacheDir }, context, entryOf);
  try {
    return await mount(archive);
  } catch (thrown) {
    if (!(await dropDamaged(archive.path, cacheDir, thrown))) throw thrown;
    context.log.warn(
      { archive: archive.path, reason: messageOf(thrown) },
      'a copy in the cache was damaged: it is made again',
    );
  }
  return await mount(await mountableArchive(source, flags, context));
}

async function makeCacheDirectory(cacheDir: string): Promise<void> {
  try {
    await makeDirectory(cacheDir);
  } catch (thrown) {
    throw toWorkerError(thrown, `make the cache directory ${cacheDir}`);
  }
}

async function mountFound(
  archive: MountableArchive,
  source: string,
  dir: string,
  flags: MountFlags & { readonly cache: string },
  context: CommandContext,
  entryOf: (config: ImageConfig) => string,
): Promise<MountedSource> {
  const { log, signal } = context;
  const cacheDir = flags.cache;
  const origin = await blobOrigin(archive.storage, flags, context);
  const storageRef = flags.storageRef ?? formatReference(archive.storage);
  if (flags.storageRef === undefined)
    log.info({ source_ref: storageRef }, 'cached source image reference from metadata');
  const planned = records(flags) ? await recordingFor(source, entryOf(archive.config), flags, context) : undefined;
  const options = {
    ...mountDaemon(context),
    signal,
    sourceName: source,
    storageRef,
    ...(flags.engine !== undefined && { engine: flags.engine }),
    ...(flags.maxRequests !== undefined && { maxRequests: parseCount(flags.maxRequests, '--max-requests', REQUESTS) }),
    ...(flags.bandwidth !== undefined && { bytesPerSecond: parseBandwidth(flags.bandwidth) }),
    ...(flags.fetchMemory !== undefined && { fetchMemoryBytes: parseSize(flags.fetchMemory, '--fetch-memory') }),
    ...(flags.pageCache !== undefined && { pageCache: flags.pageCache }),
    ...(planned !== undefined && { recording: planned.recording }),
    ...(flags.pin !== undefined && { pin: flags.pin }),
    daemonOptions: [...context.settings.mountOptions, ...cacheOptions(flags)],
  };
  const found = {
    archive: archive.path,
    archiveAddress: archive.address,
    cacheDir,
    origin,
    localLayers: archive.localLayers,
  };
  try {
    const mounted =
      flags.rw === undefined
        ? await mountArchive(found, resolve(dir), options)
        : await mountWritable(found, resolve(dir), resolve(flags.rw), options);
    log.info({ engine: mounted.engine, reason: mounted.engineReason }, 'mount engine chosen');
    if (mounted.otherOptions.length > 0)
      log.warn(
        { options: mounted.otherOptions, pid: mounted.pid },
        'the mount daemon runs already without these options; it takes others when it is started, after its last mount has gone',
      );
    return { mounted, archive, storageRef };
  } catch (thrown) {
    await planned?.forget();
    throw thrown;
  }
}

/** What a daemon that this command starts keeps the cache below. */
function cacheOptions({ cacheMinFree, cacheSize }: MountFlags): readonly string[] {
  return [
    ...(cacheSize === undefined ? [] : ['--cache-size', String(parseSize(cacheSize, '--cache-size'))]),
    ...(cacheMinFree === undefined ? [] : ['--min-free', parseFree(cacheMinFree, '--cache-min-free')]),
  ];
}

export function statLine({ fetchedBytes, requests, wantedBytes }: MountStat): string {
  return `${formatBytes(wantedBytes)} wanted, ${formatBytes(fetchedBytes)} fetched in ${requests} request${requests === 1 ? '' : 's'}`;
}
