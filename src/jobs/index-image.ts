import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Digest } from '../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { type AssembleResult, type Compression, encoderIds, PackCache } from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import {
  type Descriptor,
  isIndexType,
  OciLayout,
  type Platform,
  parseIndex,
  parseManifest,
  selectPlatform,
} from '../oci/index.ts';
import { formatReference, type Reference, type RegistryClient } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { archiveStep } from './archive-step.ts';
import type { JobReporter } from './events.ts';
import { fetchBlobTo } from './fetch-blob.ts';
import { layersOf } from './image-plan.ts';
import { readImages } from './landing.ts';
import { type PackedLayer, packStep } from './pack-step.ts';

/** An image that is there already: in an OCI layout, or in a registry. */
export type IndexSource =
  | { readonly kind: 'oci'; readonly directory: string; readonly name: string | undefined }
  | { readonly kind: 'docker'; readonly reference: Reference };

export interface IndexRequest {
  readonly source: IndexSource;
  /** Where runtimes read the blobs. */
  readonly storage: Reference;
  readonly output: string;
  readonly platform: Platform;
  readonly jobs: number;
  readonly chunkBytes: number;
  readonly useCache: boolean;
}

export interface IndexContext extends Cancelable {
  readonly client: RegistryClient;
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  readonly log: Log;
  readonly report: JobReporter;
}

export interface IndexResult {
  readonly archive: {
    readonly path: string;
    readonly digest: Digest;
    readonly sizeBytes: number;
    readonly entries: number;
  };
  readonly storageRef: string;
  readonly manifestDigest: Digest;
  readonly layers: readonly {
    readonly digest: Digest;
    readonly diffId: Digest;
    readonly mediaType: string;
    readonly sizeBytes: number;
    readonly plainBytes: number;
    readonly cached: boolean;
  }[];
  readonly plainBytes: number;
  readonly mountBytes: number;
  readonly durationMs: number;
}

/**
 * Makes an archive for an image as it is: every layer keeps its bytes. From a layout nothing is asked of any registry;
 * from a registry the layers are fetched once, verified. The output appears whole or not at all.
 */
export async function indexImage(request: IndexRequest, context: IndexContext): Promise<IndexResult> {
  const { log, signal, stateDir, tools } = context;
  const began = performance.now();
  const output = resolve(request.output);
  const scratchDir = join(stateDir, 'tmp', `index-${randomUUID()}`);
  const temporary = join(dirname(output), `.${randomUUID()}.clip.tmp`);
  const storageRef = formatReference(request.storage);
  await checkOutput(output);
  try {
    await mkdir(scratchDir, { recursive: true });
    const layout = await sourceLayout(request.source, scratchDir, request.platform, context);
    const entry = await layout.resolve(request.source.kind === 'oci' ? request.source.name : undefined);
    const [image] = await readImages(layout, entry, {
      signal,
      only: isIndexType(entry.mediaType) ? [request.platform] : [],
    });
    if (image === undefined) throw new WorkerError('PLATFORM_NOT_FOUND', 'the image holds no platform');
    if (request.source.kind === 'oci') {
      log.info(
        { source_ref: `oci:${layout.directory}:${request.source.name ?? 'latest'}`, storage_ref: storageRef },
        'indexing from local OCI layout with remote storage reference',
      );
    }
    const packed = await keepLayers(layersOf(image), layout, request, context);
    const layers = image.manifest.layers.map(({ digest }) => found(packed, digest));
    const result = await archiveStep(
      {
        layers,
        configBytes: image.configBytes,
        manifest: { bytes: image.manifestBytes, digest: image.descriptor.digest },
        registry: request.storage.registry,
        repository: request.storage.repository,
        imageName: storageRef,
        output: temporary,
      },
      { scratchDir, signal, tools },
    );
    await rename(temporary, output);
    return describeIndex({
      result,
      output,
      storageRef,
      layers,
      manifestDigest: image.descriptor.digest,
      durationMs: Math.round(performance.now() - began),
    });
  } catch (thrown) {
    signal.throwIfAborted();
    throw toWorkerError(thrown, `index for ${storageRef}`);
  } finally {
    await Promise.all([rm(scratchDir, { recursive: true, force: true }), rm(temporary, { force: true })]);
  }
}

/** Said before the first layer is read, not after the last. Throws PATH_NOT_FOUND, USAGE. */
async function checkOutput(output: string): Promise<void> {
  if (!(await isDirectory(dirname(output))))
    throw new WorkerError(
      'PATH_NOT_FOUND',
      `the archive cannot be written to ${output}: ${dirname(output)} is no folder`,
    );
  if (await isDirectory(output))
    throw new WorkerError('USAGE', `the archive cannot be written to ${output}: it is a folder; name a file`);
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** The layout to read: the given one, or a temporary one that a registry's blobs are fetched into. */
async function sourceLayout(
  source: IndexSource,
  scratchDir: string,
  platform: Platform,
  context: IndexContext,
): Promise<OciLayout> {
  const { signal } = context;
  if (source.kind === 'oci') return await OciLayout.open(source.directory, { signal });
  const layout = await OciLayout.open(join(scratchDir, 'layout'), { create: true, signal });
  const manifest = await fetchManifest(source.reference, platform, layout, context);
  const { config, layers } = parseManifest(await layout.readBlob(manifest, { maxBytes: manifest.size, signal }));
  const blobs = new Map([config, ...layers].map((blob) => [blob.digest, blob]));
  for (const blob of blobs.values()) {
    const path = await layout.temporaryPath();
    await fetchBlobTo(context.client, source.reference, blob, path, { signal });
    await layout.adoptFile(path, { digest: blob.digest, sizeBytes: blob.size });
  }
  await layout.setTag('latest', manifest, { signal });
  return layout;
}

async function fetchManifest(
  reference: Reference,
  platform: Platform,
  layout: OciLayout,
  { client, signal }: IndexContext,
): Promise<Descriptor> {
  const top = await client.resolve(reference, { signal });
  const chosen = isIndexType(top.mediaType)
    ? await client.getManifest(reference, selectPlatform(parseIndex(top.bytes), platform).digest, { signal })
    : top;
  return await layout.putManifest(chosen.bytes, chosen.mediaType, { signal });
}

async function keepLayers(
  layers: ReturnType<typeof layersOf>,
  layout: OciLayout,
  request: IndexRequest,
  context: IndexContext,
): Promise<ReadonlyMap<Digest, PackedLayer>> {
  const { report, signal, stateDir, tools } = context;
  const compression: Compression = { codec: 'none', level: 0, chunkBytes: request.chunkBytes };
  const distinct = new Map(layers.map((layer) => [layer.descriptor.digest, layer]));
  const packed = new Map<Digest, PackedLayer>();
  const options = {
    tools,
    report,
    signal,
    compression,
    jobs: request.jobs,
    useCache: request.useCache,
    keepAll: true,
    cache: new PackCache(join(stateDir, 'packs')),
    encoders: await encoderIds({ tools, signal }),
    blobPath: ({ digest }: { readonly digest: Digest }) => layout.blobPath(digest),
  };
  for await (const layer of packStep([...distinct.values()], options)) packed.set(layer.source.digest, layer);
  return packed;
}

interface Indexed {
  readonly result: AssembleResult;
  readonly output: string;
  readonly storageRef: string;
  readonly layers: readonly PackedLayer[];
  readonly manifestDigest: Digest;
  readonly durationMs: number;
}

function describeIndex({ durationMs, layers, manifestDigest, output, result, storageRef }: Indexed): IndexResult {
  const { digest, entries, mountBytes, sizeBytes } = result;
  return {
    archive: { path: output, digest, sizeBytes, entries },
    storageRef,
    manifestDigest,
    layers: layers.map(({ layer, fromCache }) => ({
      digest: layer.digest,
      diffId: layer.diffId,
      mediaType: layer.mediaType,
      sizeBytes: layer.sizeBytes,
      plainBytes: layer.plainBytes,
      cached: fromCache,
    })),
    plainBytes: layers.reduce((sum, { layer }) => sum + layer.plainBytes, 0),
    mountBytes,
    durationMs,
  };
}

function found(packed: ReadonlyMap<Digest, PackedLayer>, digest: Digest): PackedLayer {
  const layer = packed.get(digest);
  if (layer === undefined) throw new WorkerError('INTERNAL', `layer ${digest} was not indexed`);
  return layer;
}
