import { rm } from 'node:fs/promises';
import pLimit from 'p-limit';
import type { Limits } from '../config/index.ts';
import type { Digest, Expected } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import {
  type Compression,
  type LayerResult,
  type LayerTask,
  type PackCache,
  type PackEntry,
  type PackKey,
  packLayers,
} from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import { type Descriptor, layerCodecOf } from '../oci/index.ts';
import { GrowingBlob } from '../registry/index.ts';
import type { JobReporter } from './events.ts';
import type { LevelSteering } from './level-steering.ts';
import type { BlobLookup } from './registry-blobs.ts';

/** A layer as it goes into the image: the descriptor to push, the index to assemble from, the file that holds it. */
export interface PackedLayer {
  readonly source: Descriptor;
  readonly key: PackKey;
  readonly layer: LayerResult;
  readonly packed: 'new' | 'cached' | 'kept';
  /** Whether the index was there already; a kept layer's may be. */
  readonly fromCache: boolean;
  readonly index: Expected;
  readonly indexPath: string;
  /** Absent when the bytes are not on this machine: the registry has them. */
  readonly blobPath: string | undefined;
}

/** What decides how layers are packed. */
export interface PackRules {
  readonly encoders: Readonly<Record<string, string>>;
  readonly compression: Compression;
  /** Keep every layer's bytes (indexing an image that is pushed already). */
  readonly keepAll: boolean;
}

export interface PackStepOptions extends Cancelable, PackRules {
  readonly tools: NativeToolPaths;
  readonly cache: PackCache;
  readonly jobs: number;
  readonly limits: Limits;
  readonly useCache: boolean;
  /** Where a layer's bytes are on this machine; undefined: they are not. */
  readonly sourceOf: (descriptor: Descriptor) => Promise<string | undefined>;
  /** What serves the layers that are not on this machine (LayerFeed.source). */
  readonly feed?: string;
  /** A cached layer whose blob is in the registry serves without the blob. */
  readonly inRegistry: BlobLookup;
  /** Blobs that grow to `fromBytes` while they are packed, each told once. Whoever hears of one disposes of it. */
  readonly growing?: { readonly fromBytes: number; readonly follow: (blob: GrowingBlob, source: Digest) => void };
  /** Sets the level while layers are packed; needed for the level `auto`. */
  readonly steering?: LevelSteering;
  readonly report: JobReporter;
}

interface Planned {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly key: PackKey;
}

/** Threads that Node has for files; more requests than that at once would not spare a registry's patience either. */
const LOOKUP_WIDTH = 4;

/**
 * Turns the layers of an image into packed ones, each as soon as it is ready: cached ones at once, the others in one
 * native pass. Plain layers are packed, compressed ones keep their bytes (no layer of a base image changes its digest).
 * Throws BLOB_MISSING for a layer that must be packed and is not on this machine.
 */
export async function* packStep(
  layers: readonly { readonly descriptor: Descriptor; readonly diffId: Digest }[],
  options: PackStepOptions,
): AsyncGenerator<PackedLayer> {
  const plans = layers.map(({ descriptor, diffId }): Planned => {
    return { descriptor, diffId, key: packKeyOf(descriptor.digest, layerCodecOf(descriptor.mediaType), options) };
  });
  const missing: Planned[] = [];
  for await (const [plan, cached] of lookUp(plans, options)) {
    if (cached === undefined) missing.push(plan);
    else yield reported(cached, options);
  }
  yield* packMissing(missing, options);
}

/** Side by side, for each is some round trips to the disk and maybe one to the registry; given in the order of the plans. */
async function* lookUp(
  plans: readonly Planned[],
  options: PackStepOptions,
): AsyncGenerator<readonly [Planned, PackedLayer | undefined]> {
  const limit = pLimit({ concurrency: LOOKUP_WIDTH, rejectOnClear: true });
  const lookups = plans.map((plan) => limit(() => (options.useCache ? cachedLayer(plan, options) : undefined)));
  const settled = Promise.allSettled(lookups);
  try {
    for (const [at, plan] of plans.entries()) yield [plan, await lookups[at]];
  } finally {
    limit.clearQueue();
    await settled;
  }
}

/** The cache key of a layer as BuildKit or a layout gives it. */
export function packKeyOf(
  source: Digest,
  codec: 'plain' | 'gzip' | 'zstd',
  { compression, encoders, keepAll }: PackRules,
): PackKey {
  const action = codec === 'plain' && !keepAll && compression.codec !== 'none' ? 'pack' : 'keep';
  const encoder = [encoders['index'], action === 'pack' ? encoders[compression.codec] : undefined].join('+');
  return { source, action, compression, encoder };
}

/**
 * An entry serves when it is of the layer that the configuration names, and its blob is here or in the registry. The same
 * bytes may be a layer under several media types (Docker's and OCI's): a kept one goes by its own image's, if it means the
 * same codec.
 */
async function cachedLayer(plan: Planned, options: PackStepOptions): Promise<PackedLayer | undefined> {
  const entry = await options.cache.get(plan.key);
  if (entry?.layer.diffId !== plan.diffId) return undefined;
  const { mediaType } = plan.descriptor;
  const kept = plan.key.action === 'keep';
  if (kept && layerCodecOf(entry.layer.mediaType) !== layerCodecOf(mediaType)) return undefined;
  const own = kept ? { ...entry, layer: { ...entry.layer, mediaType } } : entry;
  const layer = await packedLayer(plan, own, true, options);
  return layer.blobPath !== undefined || (await options.inRegistry(layer.layer)) ? layer : undefined;
}

async function* packMissing(missing: readonly Planned[], options: PackStepOptions): AsyncGenerator<PackedLayer> {
  const { cache, compression, growing, jobs, limits, report, signal, steering, tools } = options;
  if (missing.length === 0) return;
  const sources = await Promise.all(missing.map(({ descriptor }) => requiredSource(descriptor, options)));
  const scratch = await Promise.all(missing.map(() => cache.scratch()));
  const tasks = missing.map(({ descriptor, diffId, key }, at): LayerTask => {
    const files = itemAt(scratch, at);
    return {
      id: String(at),
      source: itemAt(sources, at),
      mediaType: descriptor.mediaType,
      diffId,
      expected: { digest: descriptor.digest, sizeBytes: descriptor.size },
      index: files.index,
      ...(key.action === 'pack' && { output: files.blob }),
    };
  });
  const followed = new Map<string, GrowingBlob>();
  const onWritten = (id: string, writtenBytes: number) => {
    steering?.written(id, writtenBytes);
    const known = followed.get(id);
    if (known !== undefined) known.grew(writtenBytes);
    else if (growing !== undefined && writtenBytes >= growing.fromBytes) {
      const blob = new GrowingBlob(itemAt(scratch, Number(id)).blob);
      blob.grew(writtenBytes);
      followed.set(id, blob);
      growing.follow(blob, itemAt(missing, Number(id)).descriptor.digest);
    }
  };
  const onProgress = (id: string, doneBytes: number, totalBytes: number | undefined) => {
    steering?.read(id, doneBytes);
    report({ type: 'packing', id: missing[Number(id)]?.descriptor.digest ?? id, doneBytes, totalBytes });
  };
  const packing = { tools, jobs, limits, compression, signal, onProgress, onWritten };
  using steered = steering?.begin(
    missing.flatMap(({ descriptor, key }, at) => (key.action === 'pack' ? [[String(at), descriptor.size]] : [])),
  );
  try {
    for await (const { id, layer } of packLayers(tasks, {
      ...packing,
      ...(steered !== undefined && { onStart: steered.onStart }),
    })) {
      followed.get(id)?.finish(layer);
      steering?.done(id, layer);
      const plan = itemAt(missing, Number(id));
      const { index, blob } = itemAt(scratch, Number(id));
      const entry = await cache.put(plan.key, layer, { index, ...(plan.key.action === 'pack' && { blob }) });
      yield reported(await packedLayer(plan, entry, false, options), options);
    }
  } finally {
    await Promise.all(
      scratch.flatMap(({ index, blob }) => [index, blob]).map((path) => rm(path, { recursive: true, force: true })),
    );
  }
}

async function requiredSource(descriptor: Descriptor, { feed, sourceOf }: PackStepOptions): Promise<string> {
  const path = (await sourceOf(descriptor)) ?? feed;
  if (path !== undefined) return path;
  const { digest } = descriptor;
  throw new WorkerError('BLOB_MISSING', `layer ${digest} must be read and is not on this machine`, { digest });
}

async function packedLayer(
  { descriptor, key }: Planned,
  entry: PackEntry,
  fromCache: boolean,
  { sourceOf }: PackStepOptions,
): Promise<PackedLayer> {
  const keeps = key.action === 'keep';
  return {
    source: descriptor,
    key,
    layer: entry.layer,
    packed: keeps ? 'kept' : fromCache ? 'cached' : 'new',
    fromCache,
    index: entry.index,
    indexPath: entry.indexPath,
    blobPath: keeps ? await sourceOf(descriptor) : entry.blobPath,
  };
}

function reported(layer: PackedLayer, { report }: PackStepOptions): PackedLayer {
  const { digest, diffId, plainBytes, sizeBytes } = layer.layer;
  report({ type: 'layer', digest, diffId, packed: layer.packed, plainBytes, sizeBytes });
  return layer;
}

function itemAt<T>(items: readonly T[], at: number): T {
  const item = items[at];
  if (item === undefined)
    throw new WorkerError('NATIVE_TOOL_FAILED', `clipyard-index named a layer that was not asked for: ${at}`);
  return item;
}
