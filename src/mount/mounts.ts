import { randomBytes } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import type { Mount as MountMessage, MountRequest } from '../gen/clipyard/mount/v1/mount.ts';
import type { StoreAccess } from '../objects/index.ts';
import { missingOptions } from './daemon-options.ts';
import { listDeadMounts, removeDeadMount } from './dead-mounts.ts';
import { daemonSocket, type MountDaemon, withDaemon } from './mount-daemon.ts';
import { type MountStat, mountStat } from './mount-stat.ts';
import { isMounted, mountTable } from './mount-table.ts';
import { unmountOverlay } from './overlay.ts';
import { type ArchiveSource, type OriginCredentials, revealed } from './source.ts';
import { listWritableRecords, removeLower, type WritableRecord } from './writable-record.ts';

/** gRPC takes its time to load, and many commands that load this folder call no daemon. */
const loadCalls = () => import('./daemon-call.ts');

/** A mount as a list shows it. */
export interface MountListing {
  readonly v: 1;
  readonly id: string;
  readonly mountpoint: string;
  readonly source: string;
  readonly storageRef: string;
  /** The daemon; another one after it was replaced. */
  readonly pid: number;
  readonly startedAt: string;
  /** Who shows the tree: `erofs` or `fuse`. */
  readonly engine: string;
  /** Of a writable mount, whose `mountpoint` is an overlay: the image mount below it and where the changes are. */
  readonly writable?: { readonly lower: string; readonly directory: string };
}

/** `shared`: the mount's pages and the layers', which all mounts have in common; `single`: the mount's alone. */
export type PageCache = 'shared' | 'single';

export type MountEngine = 'auto' | 'erofs' | 'fuse';

export interface Mounted {
  readonly record: MountListing;
  readonly pid: number;
  readonly mountpoint: string;
  readonly mountMs: number;
  readonly engine: string;
  readonly engineReason: string;
  /** Options that were asked for and that the daemon, which ran already, does not have. */
  readonly otherOptions: readonly string[];
}

export interface MountOptions extends Cancelable, MountDaemon {
  /** What the person named, for the list. */
  readonly sourceName: string;
  readonly storageRef: string;
  /** Who shows the tree; default: the daemon chooses and says why. */
  readonly engine?: MountEngine;
  /** Requests in flight for this mount; default: what the daemon allows for all. */
  readonly maxRequests?: number;
  /** What this mount may fetch in a second; default: any number. */
  readonly bytesPerSecond?: number;
  /** Keep the layers in the cache, also when the mount is gone. */
  readonly pin?: boolean;
  /** What requests in flight for this mount may hold; default: what the daemon allows for all. */
  readonly fetchMemoryBytes?: number;
  /** Copies of file data that the kernel keeps, engine erofs; default: the daemon's way. */
  readonly pageCache?: PageCache;
  readonly recording?: Recording;
}

/** What a mount records, and what it fetches before anybody asks. */
export interface Recording {
  /** Absolute path of a file that gets the trace when the mount ends. */
  readonly traceFile?: string | undefined;
  /** What runs on the mount, for the trace. */
  readonly entry?: string | undefined;
  /** Short digests of the chunks to fetch first, one behind the other. */
  readonly profile?: Uint8Array | undefined;
  /** Plain bytes a second at which everything else is fetched after that. */
  readonly completeBytesPerSecond?: number | undefined;
}

/**
 * Has the daemon mount an archive. Throws the daemon's codes (MOUNT_POINT_IN_USE, CACHE_FILESYSTEM_UNSUPPORTED, …); nothing
 * stays behind then.
 */
export async function mountArchive(source: ArchiveSource, mountpoint: string, options: MountOptions): Promise<Mounted> {
  await makeDirectory(source.cacheDir);
  const request = mountRequest(source, mountpoint, options);
  // The daemon gives the mount that is there when it is asked for the same id again.
  const attempt = async (socketPath: string) =>
    await (await loadCalls()).callDaemon(socketPath, (client) => client.mount.bind(client), request, options);
  try {
    const { daemonOptions, mount, mountMs } = await withDaemon(options, attempt, options);
    if (mount === undefined) throw new WorkerError('MOUNT_FAILED', 'the mount daemon named no mount');
    const record = listing(mount);
    const { engine, engineReason } = mount;
    const otherOptions = missingOptions(options.daemonOptions ?? [], daemonOptions);
    const { mountpoint: path, pid } = record;
    return { record, pid, mountpoint: path, mountMs, engine, engineReason, otherOptions };
  } catch (thrown) {
    throw toWorkerError(thrown, `mount at ${mountpoint}`, 'MOUNT_FAILED');
  }
}

/** The mounts of the daemon, and those that lost theirs (`clipyard mounts --repair` takes them away). */
export async function listMounts(daemon: MountDaemon, { signal }: Cancelable): Promise<readonly MountListing[]> {
  const answer = await whenRunning(daemon, async (path) =>
    (await loadCalls()).callDaemon(path, (client) => client.list.bind(client), {}, { signal }),
  );
  const dead = (await listDeadMounts(daemon)).filter(({ mounted }) => mounted);
  const listings = [
    ...dead.map(({ record: { device: _, engineReason: __, ...record } }) => record),
    ...(answer?.mounts ?? []).map(listing),
  ];
  const writable = await listWritableRecords(daemon);
  const table = await mountTable();
  const shown = listings.flatMap((image) => {
    const overlay = writable.find(({ lower }) => lower === image.mountpoint);
    if (overlay === undefined) return [image];
    const { directory, lower, mountpoint } = overlay;
    // Somebody unmounted the overlay: what is left below is nobody's mount (`mounts --repair` takes it away).
    if (!table.some(({ path }) => path === mountpoint)) return [];
    return [{ ...image, mountpoint, writable: { lower, directory } }];
  });
  return shown.toSorted((a, b) => a.startedAt.localeCompare(b.startedAt));
}

/** What the mount at a folder did so far. Throws MOUNT_NOT_FOUND. */
export async function statMount(daemon: MountDaemon, mountpoint: string, { signal }: Cancelable): Promise<MountStat> {
  const path = (await writableAt(daemon, mountpoint))?.lower ?? (await resolved(mountpoint));
  const asked = { mountpoint: path };
  const stat = await whenRunning(daemon, async (socket) =>
    (await loadCalls()).callDaemon(socket, (client) => client.stat.bind(client), asked, { signal }),
  );
  if (stat !== undefined) return mountStat(stat);
  const left = (await listDeadMounts(daemon)).find(({ record }) => record.mountpoint === path);
  if (left === undefined) throw notMounted(mountpoint);
  throw new WorkerError(
    'MOUNT_NOT_FOUND',
    `the daemon ${left.record.pid} of ${mountpoint} is gone; clean up with clipyard umount ${mountpoint}`,
    { mountpoint },
  );
}

/** What the mount at a folder touched so far, as the text of a trace file. Throws MOUNT_NOT_FOUND. */
export async function traceMount(daemon: MountDaemon, mountpoint: string, { signal }: Cancelable): Promise<string> {
  const path = (await writableAt(daemon, mountpoint))?.lower ?? (await resolved(mountpoint));
  const asked = { mountpoint: path };
  const answer = await whenRunning(daemon, async (socket) =>
    (await loadCalls()).callDaemon(socket, (client) => client.trace.bind(client), asked, { signal }),
  );
  if (answer === undefined) throw notMounted(mountpoint);
  return Buffer.from(answer.trace).toString('utf8');
}

/**
 * Unmounts, of a writable mount the overlay first, and gives the last statistics. Throws MOUNT_BUSY while a process uses the
 * mount, also through another mount on top of it; MOUNT_NOT_FOUND. Of a mount whose daemon was killed the rest is taken away.
 */
export async function unmount(
  daemon: MountDaemon,
  mountpoint: string,
  { signal }: Cancelable,
): Promise<MountStat | undefined> {
  const writable = await writableAt(daemon, mountpoint);
  if (writable === undefined) return await unmountImage(daemon, mountpoint, { signal });
  if (await isMounted(writable.mountpoint)) await unmountOverlay(writable.mountpoint);
  const stat = await unmountImage(daemon, writable.lower, { signal });
  await removeLower(writable.lower);
  return stat;
}

/** The same of an image mount alone. */
export async function unmountImage(
  daemon: MountDaemon,
  mountpoint: string,
  { signal }: Cancelable,
): Promise<MountStat | undefined> {
  const path = await resolved(mountpoint);
  const asked = { mountpoint: path };
  const answer = await whenRunning(daemon, async (socket) =>
    (await loadCalls()).callDaemon(socket, (client) => client.unmount.bind(client), asked, { signal }),
  );
  if (answer !== undefined) return answer.stat && mountStat(answer.stat);
  const left = (await listDeadMounts(daemon)).findLast(({ record }) => record.mountpoint === path);
  if (left === undefined) throw notMounted(mountpoint);
  await removeDeadMount(left, { lazily: false });
  return undefined;
}

/** A call to the daemon that runs; undefined when none does, or it knows nothing of what was asked. */
async function whenRunning<T>(daemon: MountDaemon, call: (socketPath: string) => Promise<T>): Promise<T | undefined> {
  try {
    return await call(await daemonSocket(daemon));
  } catch (thrown) {
    if (!(thrown instanceof WorkerError)) throw thrown;
    if (thrown.code === 'MOUNT_NOT_FOUND') return undefined;
    if (thrown.code !== 'MOUNT_DAEMON_UNAVAILABLE' || daemon.mountSocket !== undefined) throw thrown;
    return undefined;
  }
}

/** The writable mount at a folder. One that a reboot ended is on record still. */
async function writableAt(daemon: MountDaemon, mountpoint: string): Promise<WritableRecord | undefined> {
  const path = await resolved(mountpoint);
  for (const record of await listWritableRecords(daemon))
    if (record.mountpoint === path && (await isMounted(record.lower))) return record;
  return undefined;
}

function notMounted(mountpoint: string): WorkerError {
  return new WorkerError('MOUNT_NOT_FOUND', `nothing of ours is mounted at ${mountpoint}`, { mountpoint });
}

async function resolved(mountpoint: string): Promise<string> {
  return await realpath(mountpoint).catch(() => mountpoint);
}

function mountRequest(source: ArchiveSource, mountpoint: string, options: MountOptions): MountRequest {
  const { archive, archiveAddress, cacheDir, origin } = source;
  return {
    // Short: it is a part of the name that the mount has in the kernel's list.
    id: randomBytes(4).toString('hex'),
    archive,
    mountpoint,
    cacheDir,
    registry: origin.registry,
    credentials: origin.credentials && { login: loginOf(origin.credentials) },
    mirrors: [...(origin.mirrors ?? [])],
    blobs: origin.blobs && { place: placeOf(origin.blobs) },
    memoryBytes: BigInt(options.fetchMemoryBytes ?? 0),
    maxRequests: options.maxRequests ?? 0,
    bytesPerSecond: BigInt(options.bytesPerSecond ?? 0),
    caFile: origin.caFile ?? '',
    localLayers: { ...source.localLayers },
    readTimeoutMs: 0n,
    engine: options.engine ?? 'auto',
    pageCache: options.pageCache ?? '',
    archiveUrl: archiveAddress?.reveal() ?? '',
    source: options.sourceName,
    storageRef: options.storageRef,
    pin: options.pin ?? false,
    startedAt: new Date().toISOString(),
    ...recordingFields(options.recording),
  };
}

function recordingFields({ completeBytesPerSecond = 0, entry = '', profile, traceFile = '' }: Recording = {}) {
  const rate = BigInt(completeBytesPerSecond);
  return { traceFile, entry, profile: Buffer.from(profile ?? []), completeBytesPerSecond: rate };
}

function loginOf(credentials: OriginCredentials) {
  if ('password' in credentials) return { $case: 'password', value: credentials } as const;
  if ('identityToken' in credentials) return { $case: 'identityToken', value: credentials.identityToken } as const;
  return { $case: 'registryToken', value: credentials.registryToken } as const;
}

function placeOf(blobs: StoreAccess) {
  if (blobs.kind === 'directory') return { $case: 'directory', value: blobs.path } as const;
  return { $case: 's3', value: { ...blobs, keys: revealed(blobs.keys) } } as const;
}

function listing({ engine, id, mountpoint, pid, source, startedAt, storageRef }: MountMessage): MountListing {
  return { v: 1, id, mountpoint, source, storageRef, pid, startedAt, engine };
}
