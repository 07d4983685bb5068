import { randomUUID } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Limits } from '../config/index.ts';
import { type Digest } from '../digest/index.ts';
import { type Cancelable, messageOf, toWorkerError, WorkerError } from '../errors/index.ts';
import {
  ArchiveCache,
  type ArchiveFormat,
  type AssembleResult,
  type Compression,
  indexTool,
  LayerFeed,
  type LayerResult,
  PackCache,
  SharedPacks,
} from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import {
  type Descriptor,
  isIndexType,
  layerCodecOf,
  OciLayout,
  type Platform,
  parseIndex,
  parseManifest,
  selectPlatform,
} from '../oci/index.ts';
import { formatReference, type Reference, type RegistryClient } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { archiveStep } from './archive-step.ts';
import { dropDamagedPacks } from './damaged-packs.ts';
import type { JobReporter } from './events.ts';
import { fetchBlobTo } from './fetch-blob.ts';
import { layersOf, type PlatformImage } from './image-plan.ts';
import { type EngineChoice, engineOf, type IndexEngine } from './index-engine.ts';
import { readImages } from './landing.ts';
import { type PackCacheSettings, packsDirectory } from './pack-cache-settings.ts';
import { type PackedLayer, type PackRules, packStep } from './pack-step.ts';
import { createScratch } from './scratch.ts';
import { trimCache } from './trim-cache.ts';

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
  /** Whether somebody asked for the platform: a single image of another one is then refused. */
  readonly platformAsked: boolean;
  readonly engine: EngineChoice;
  readonly jobs: number;
  readonly chunkBytes: number;
  readonly useCache: boolean;
  readonly format: ArchiveFormat;
}

export interface IndexContext extends Cancelable {
  readonly client: RegistryClient;
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  readonly packCache: PackCacheSettings;
  /** What a layer may cost. */
  readonly limits: Limits;
  readonly log: Log;
  readonly report: JobReporter;
}

export interface IndexResult {
  readonly engine: IndexEngine;
  readonly format: ArchiveFormat;
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
    /** Whether a mount can read it in parts. */
    readonly seekable: boolean;
    /** `tar`, `gzip`, `estargz`, `zstd`, `zstd-seekable`, `zstd:chunked`. */
    readonly format: string;
    readonly cached: boolean;
  }[];
  readonly plainBytes: number;
  readonly mountBytes: number;
  readonly durationMs: number;
}

/**
 * Makes an archive for an image as it is: every layer keeps its bytes. From a layout nothing is asked of any registry;
 * from a registry the layers that were never indexed flow into the indexer as they arrive, verified, and touch no disk (the
 * portable engine fetches them first). The output appears whole or not at all.
 */
export async function indexImage(request: IndexRequest, context: IndexContext): Promise<IndexResult> {
  return describeIndex(await makeArchive(request, context));
}

/** The same, with all that is known of the archive. */
export async function makeArchive(request: IndexRequest, context: IndexContext): Promise<IndexedImage> {
  const { log, signal, stateDir } = context;
  const engine = engineOf(request.engine, context);
  if (engine === 'portable' && request.format === 'v1')
    throw new WorkerError('USAGE', 'a V1 archive is made by the native engine');
  const began = performance.now();
  const output = resolve(request.output);
  const temporary = join(dirname(output), `.${randomUUID()}.clip.tmp`);
  const storageRef = formatReference(request.storage);
  await checkOutput(output);
  const scratchDir = await createScratch(stateDir);
  try {
    const layout = await sourceLayout(request.source, scratchDir, request.platform, context);
    const entry = await layout.resolve(request.source.kind === 'oci' ? request.source.name : undefined);
    const [image] = await readImages(layout, entry, {
      signal,
      only: isIndexType(entry.mediaType) || request.platformAsked ? [request.platform] : [],
    });
    if (image === undefined) throw new WorkerError('PLATFORM_NOT_FOUND', 'the image holds no platform');
    if (request.source.kind === 'oci') {
      log.info(
        { source_ref: `oci:${layout.directory}:${request.source.name ?? 'latest'}`, storage_ref: storageRef },
        'indexing from local OCI layout with remote storage reference',
      );
    }
    if (engine === 'portable') await fetchLayers(request.source, image, layout, context);
    const { layers, result } =
      engine === 'portable'
        ? await (await import('./portable-step.ts')).portableStep(
            {
              configBytes: image.configBytes,
              manifest: { bytes: image.manifestBytes, digest: image.descriptor.digest },
              registry: request.storage.registry,
              repository: request.storage.repository,
              imageName: storageRef,
              output: temporary,
            },
            layersOf(image),
            layout,
            { ...context, chunkBytes: request.chunkBytes },
          )
        : await assembleTwice({ image, layout, request, scratchDir, output: temporary }, context);
    for (const { layer } of layers)
      if (layer.ignoredSeekTable === true)
        log.warn({ digest: layer.digest }, 'the zstd seek table of a layer does not fit its frames; it is ignored');
    await rename(temporary, output);
    return {
      engine,
      format: request.format,
      result,
      output,
      storageRef,
      layers,
      manifestDigest: image.descriptor.digest,
      durationMs: Math.round(performance.now() - began),
    };
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

interface Assembly {
  readonly image: PlatformImage;
  readonly layout: OciLayout;
  readonly request: IndexRequest;
  readonly scratchDir: string;
  readonly output: string;
}

interface Assembled {
  readonly layers: readonly PackedLayer[];
  readonly result: AssembleResult;
}

/** A cached index that turns out damaged is dropped and made again, once. */
async function assembleTwice(assembly: Assembly, context: IndexContext): Promise<Assembled> {
  const { limits, log, packCache, signal, stateDir, tools } = context;
  const { request } = assembly;
  const compression: Compression = { codec: 'none', level: 0, chunkBytes: request.chunkBytes };
  const tool = await indexTool({ tools, stateDir, signal });
  const rules = { compression, encoders: tool.encoders, keepAll: true };
  const shared = packCache.shared === undefined ? undefined : new SharedPacks(packCache.shared, log);
  const pinDir = join(assembly.scratchDir, 'pins');
  await using cache = new PackCache({ root: packsDirectory(stateDir), pinDir, limits, shared, signal });
  const archives = request.useCache
    ? new ArchiveCache({ root: packsDirectory(stateDir), tool, log, signal })
    : undefined;
  const packed = new Map<Digest, PackedLayer>();
  const attempt = async (): Promise<Assembled> => {
    await keepLayers(assembly, rules, packed, cache, context);
    const assembled = await assemble(assembly, packed, archives, context);
    if (archives?.grew === true || assembled.layers.some(({ fromCache }) => !fromCache)) await trimCache(context);
    return assembled;
  };
  try {
    return await attempt();
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(await dropDamagedPacks(thrown, [...packed.values()], { cache, signal }))) throw thrown;
    log.warn({ reason: messageOf(thrown) }, 'the pack cache was damaged; indexing again');
    packed.clear();
    return await attempt();
  }
}

async function assemble(
  { image, output, request, scratchDir }: Assembly,
  packed: ReadonlyMap<Digest, PackedLayer>,
  archives: ArchiveCache | undefined,
  { client, log, signal, tools }: IndexContext,
): Promise<Assembled> {
  const { registry, repository } = request.storage;
  const { source } = request;
  const layers = image.manifest.layers.map(({ digest }) => found(packed, digest));
  const result = await archiveStep(
    {
      layers,
      configBytes: image.configBytes,
      manifest: { bytes: image.manifestBytes, digest: image.descriptor.digest },
      registry,
      repository,
      imageName: formatReference(request.storage),
      output,
      format: request.format,
    },
    {
      scratchDir,
      signal,
      tools,
      log,
      archives,
      ...(source.kind === 'docker' && {
        fetchBlob: (blob, path) => fetchBlobTo(client, source.reference, blob, path, { signal }),
      }),
    },
  );
  return { layers, result };
}

/** Layers that come from a registry at once. */
const FETCH_WIDTH = 3;

/** The layout to read: the given one, or a temporary one that a registry's documents are fetched into. */
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
  const { config } = parseManifest(await layout.readBlob(manifest, { maxBytes: manifest.size, signal }));
  await fetchInto(layout, source.reference, config, context);
  await layout.setTag('latest', manifest, { signal });
  return layout;
}

/** For the engine that reads files. */
async function fetchLayers(
  source: IndexSource,
  image: PlatformImage,
  layout: OciLayout,
  context: IndexContext,
): Promise<void> {
  if (source.kind !== 'docker') return;
  for (const { descriptor } of layersOf(image)) {
    if (!(await layout.hasBlob(descriptor))) await fetchInto(layout, source.reference, descriptor, context);
  }
}

async function fetchInto(
  layout: OciLayout,
  reference: Reference,
  { digest, size }: Descriptor,
  { client, signal }: IndexContext,
): Promise<void> {
  const path = await layout.temporaryPath();
  await fetchBlobTo(client, reference, { digest, size }, path, { signal });
  await layout.adoptFile(path, { digest, sizeBytes: size });
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
  { image, layout, request: { jobs, source, useCache }, scratchDir }: Assembly,
  rules: PackRules,
  packed: Map<Digest, PackedLayer>,
  cache: PackCache,
  { client, limits, report, signal: outer, tools }: IndexContext,
): Promise<void> {
  // A layer that the registry does not give ends the indexer; what is told is the registry's failure.
  const failure = new AbortController();
  const signal = AbortSignal.any([outer, failure.signal]);
  await using feed =
    source.kind === 'docker'
      ? await LayerFeed.start({
          directory: join(scratchDir, 'feed'),
          width: FETCH_WIDTH,
          // Whole, but as a range: the indexer hashes it, once is enough.
          open: (digest, options) =>
            client.getBlobStream(source.reference, digest, { range: { offset: 0 }, ...options }),
          onFailure: (reason) => {
            failure.abort(reason);
          },
          signal,
        })
      : undefined;
  const distinct = new Map(layersOf(image).map((layer) => [layer.descriptor.digest, layer]));
  const options = {
    ...rules,
    tools,
    report,
    signal,
    jobs,
    limits,
    useCache,
    cache,
    sourceOf: async (descriptor: Descriptor) =>
      (await layout.hasBlob(descriptor)) ? layout.blobPath(descriptor.digest) : undefined,
    ...(feed !== undefined && { feed: feed.source }),
    // The image is pushed already; its layers are where the storage reference says.
    inRegistry: () => Promise.resolve(true),
  };
  for await (const layer of packStep([...distinct.values()], options)) packed.set(layer.source.digest, layer);
}

/** What came of it. */
export interface IndexedImage {
  readonly engine: IndexEngine;
  readonly format: ArchiveFormat;
  readonly result: AssembleResult;
  readonly output: string;
  readonly storageRef: string;
  readonly layers: readonly { readonly layer: LayerResult; readonly fromCache: boolean }[];
  readonly manifestDigest: Digest;
  readonly durationMs: number;
}

function describeIndex({
  durationMs,
  engine,
  format,
  layers,
  manifestDigest,
  output,
  result,
  storageRef,
}: IndexedImage): IndexResult {
  const { digest, entries, mountBytes, sizeBytes } = result;
  return {
    engine,
    format,
    archive: { path: output, digest, sizeBytes, entries },
    storageRef,
    manifestDigest,
    layers: layers.map(({ layer, fromCache }) => ({
      digest: layer.digest,
      diffId: layer.diffId,
      mediaType: layer.mediaType,
      sizeBytes: layer.sizeBytes,
      plainBytes: layer.plainBytes,
      seekable: layer.seekable,
      format: layer.format ?? FORMATS[layerCodecOf(layer.mediaType)],
      cached: fromCache,
    })),
    plainBytes: layers.reduce((sum, { layer }) => sum + layer.plainBytes, 0),
    mountBytes,
    durationMs,
  };
}

const FORMATS = { plain: 'tar', gzip: 'gzip', zstd: 'zstd' } as const;

function found(packed: ReadonlyMap<Digest, PackedLayer>, digest: Digest): PackedLayer {
  const layer = packed.get(digest);
  if (layer === undefined) throw new WorkerError('INTERNAL', `layer ${digest} was not indexed`);
  return layer;
}
