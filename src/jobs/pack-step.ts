import { rm } from 'node:fs/promises';
import type { Digest } from '../digest/index.ts';
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
import type { JobReporter } from './events.ts';

/** A layer as it goes into the image: the descriptor to push, the index to assemble from, the file that holds it. */
export interface PackedLayer {
  readonly source: Descriptor;
  readonly layer: LayerResult;
  readonly packed: 'new' | 'cached' | 'kept';
  /** Whether the index was there already; a kept layer's may be. */
  readonly fromCache: boolean;
  readonly indexPath: string;
  /** Absent when the bytes are not on this machine any more (a cached pack whose blob was cleaned up). */
  readonly blobPath: string | undefined;
}

export interface PackStepOptions extends Cancelable {
  readonly tools: NativeToolPaths;
  readonly cache: PackCache;
  readonly encoders: Readonly<Record<string, string>>;
  readonly compression: Compression;
  readonly jobs: number;
  /** Keep every layer's bytes (indexing an image that is pushed already). */
  readonly keepAll: boolean;
  readonly useCache: boolean;
  readonly blobPath: (descriptor: Descriptor) => string;
  readonly report: JobReporter;
}

interface Planned {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly key: PackKey;
}

/**
 * Turns the layers of an image into packed ones, each as soon as it is ready: cached ones at once, the others in one
 * native pass. Plain layers are packed, compressed ones keep their bytes (no layer of a base image changes its digest).
 */
export async function* packStep(
  layers: readonly { readonly descriptor: Descriptor; readonly diffId: Digest }[],
  options: PackStepOptions,
): AsyncGenerator<PackedLayer> {
  const missing: Planned[] = [];
  for (const plan of layers.map((layer) => planLayer(layer, options))) {
    const entry = options.useCache ? await usableEntry(plan, options) : undefined;
    if (entry === undefined) missing.push(plan);
    else yield finished(plan, entry, true, options);
  }
  yield* packMissing(missing, options);
}

function planLayer(
  { descriptor, diffId }: { descriptor: Descriptor; diffId: Digest },
  options: PackStepOptions,
): Planned {
  const plain = layerCodecOf(descriptor.mediaType) === 'plain';
  const { compression, encoders, keepAll } = options;
  const action = plain && !keepAll && compression.codec !== 'none' ? 'pack' : 'keep';
  const encoder = [encoders['index'], action === 'pack' ? encoders[compression.codec] : undefined].join('+');
  return { descriptor, diffId, key: { source: descriptor.digest, action, compression, encoder } };
}

/**
 * A cached index serves when the blob it describes is known to be the one the configuration names. The same bytes may be
 * a layer under several media types (Docker's and OCI's): a kept one goes by its own image's, if it means the same codec.
 */
async function usableEntry(
  { descriptor, key, diffId }: Planned,
  { cache }: PackStepOptions,
): Promise<PackEntry | undefined> {
  const entry = await cache.get(key);
  if (entry?.layer.diffId !== diffId) return undefined;
  if (key.action === 'pack') return entry;
  const { mediaType } = descriptor;
  if (layerCodecOf(entry.layer.mediaType) !== layerCodecOf(mediaType)) return undefined;
  return { ...entry, layer: { ...entry.layer, mediaType } };
}

async function* packMissing(missing: readonly Planned[], options: PackStepOptions): AsyncGenerator<PackedLayer> {
  const { cache, compression, jobs, report, signal, tools } = options;
  const scratch = await Promise.all(missing.map(() => cache.scratch()));
  const tasks = missing.map(({ descriptor, diffId, key }, at): LayerTask => {
    const files = itemAt(scratch, at);
    return {
      id: String(at),
      source: options.blobPath(descriptor),
      mediaType: descriptor.mediaType,
      diffId,
      expected: { digest: descriptor.digest, sizeBytes: descriptor.size },
      index: files.index,
      ...(key.action === 'pack' && { output: files.blob }),
    };
  });
  const onProgress = (id: string, doneBytes: number, totalBytes: number | undefined) => {
    report({ type: 'packing', id: missing[Number(id)]?.descriptor.digest ?? id, doneBytes, totalBytes });
  };
  try {
    for await (const { id, layer } of packLayers(tasks, { tools, jobs, compression, signal, onProgress })) {
      const plan = itemAt(missing, Number(id));
      const { index, blob } = itemAt(scratch, Number(id));
      const entry = await cache.put(plan.key, layer, { index, ...(plan.key.action === 'pack' && { blob }) });
      yield finished(plan, entry, false, options);
    }
  } finally {
    await Promise.all(
      scratch.flatMap(({ index, blob }) => [index, blob]).map((path) => rm(path, { recursive: true, force: true })),
    );
  }
}

function finished(
  plan: Planned,
  entry: PackEntry,
  fromCache: boolean,
  { blobPath, report }: PackStepOptions,
): PackedLayer {
  const packed = plan.key.action === 'keep' ? 'kept' : fromCache ? 'cached' : 'new';
  const { digest, diffId, plainBytes, sizeBytes } = entry.layer;
  report({ type: 'layer', digest, diffId, packed, plainBytes, sizeBytes });
  const path = plan.key.action === 'keep' ? blobPath(plan.descriptor) : entry.blobPath;
  return { source: plan.descriptor, layer: entry.layer, packed, fromCache, indexPath: entry.indexPath, blobPath: path };
}

function itemAt<T>(items: readonly T[], at: number): T {
  const item = items[at];
  if (item === undefined)
    throw new WorkerError('NATIVE_TOOL_FAILED', `clipyard-index named a layer that was not asked for: ${at}`);
  return item;
}
