import { z } from 'zod';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { findNativeTool, type NativeToolPaths, runTool } from '../native/index.ts';
import { daemonSocket, type MountDaemon } from './mount-daemon.ts';

const CachedLayer = z.object({
  diffId: z.string(),
  key: z.string(),
  bytes: z.number(),
  plainBytes: z.number(),
  lastUsedMs: z.number(),
  inUse: z.boolean(),
  pinned: z.boolean(),
});
const CachedArchive = z.object({ name: z.string(), bytes: z.number(), lastUsedMs: z.number(), inUse: z.boolean() });
const Listing = z.object({ layers: z.array(CachedLayer), archives: z.array(CachedArchive) });
const Garbage = z.object({ layers: z.number(), archives: z.number(), freedBytes: z.number(), keptBytes: z.number() });
const Verified = z.object({
  chunks: z.number(),
  bytes: z.number(),
  damaged: z.number(),
  unknownLayers: z.number(),
  archives: z.number(),
  damagedArchives: z.number(),
  unknownArchives: z.number(),
});
const Pinned = z.object({ layers: z.number() });

export type CachedLayer = z.infer<typeof CachedLayer>;
export type CacheListing = z.infer<typeof Listing>;

type Options = Cancelable & { readonly tools: NativeToolPaths };

/** What the runtime cache holds, the longest unused first. Mounts may come and go meanwhile. */
export async function listCache(cacheDir: string, options: Options): Promise<CacheListing> {
  return Listing.parse(await ask(cacheDir, { action: 'ls' }, options));
}

/**
 * Removes layers and archives that no mount uses and nobody pinned, the longest unused first, until at most `keepBytes` are left, and
 * what dead processes left half-made.
 */
export async function collectCachedLayers(
  cacheDir: string,
  { dryRun, keepBytes, ...options }: Options & { readonly dryRun: boolean; readonly keepBytes: number },
) {
  return Garbage.parse(await ask(cacheDir, { action: 'gc', keepBytes, dryRun }, options));
}

/**
 * Proves every cached chunk. Damaged ones go, and are fetched again when they are wanted; a daemon that runs fetches
 * those of its mounts at once.
 */
export async function verifyCachedLayers(cacheDir: string, daemon: MountDaemon, { signal }: Cancelable) {
  try {
    // grpc-js is loaded where it is wanted alone.
    const { callDaemon } = await import('./daemon-call.ts');
    const request = { cacheDir };
    const found = await callDaemon(await daemonSocket(daemon), (client) => client.verifyCache.bind(client), request, {
      signal,
    });
    const { archives, damagedArchives, unknownArchives, unknownLayers } = found;
    const numbers = { chunks: Number(found.chunks), bytes: Number(found.bytes), damaged: Number(found.damaged) };
    return { ...numbers, unknownLayers, archives, damagedArchives, unknownArchives };
  } catch (thrown) {
    const isGone = thrown instanceof WorkerError && thrown.code === 'MOUNT_DAEMON_UNAVAILABLE';
    if (!isGone || daemon.mountSocket !== undefined) throw thrown;
  }
  return Verified.parse(await ask(cacheDir, { action: 'verify' }, { signal, tools: daemon.tools }));
}

/** Keeps the layers of a diffID (or of its first characters) from being evicted, or lets them go. Throws PATH_NOT_FOUND. */
export async function pinCachedLayers(
  cacheDir: string,
  { diffId, pinned, ...options }: Options & { readonly diffId: string; readonly pinned: boolean },
): Promise<number> {
  return Pinned.parse(await ask(cacheDir, { action: 'pin', diffId, pinned }, options)).layers;
}

async function ask(cacheDir: string, question: object, { signal, tools }: Options): Promise<unknown> {
  const tool = findNativeTool('clipyard-mountd', tools);
  for await (const event of runTool(tool, ['cache'], { v: 1, cacheDir, ...question }, { signal }))
    if (event.event === 'result') return event.result;
  throw new WorkerError('NATIVE_TOOL_FAILED', 'clipyard-mountd cache ended without a result');
}
