import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { imageTag } from '../archive/index.ts';
import type { BuildkitClient, BuildkitResult } from '../buildkit/index.ts';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { encoderIds, PackCache } from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { formatPlatform, OciLayout } from '../oci/index.ts';
import type { PushOutcome, RegistryClient } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { archiveStep } from './archive-step.ts';
import { buildRecord } from './build-record.ts';
import type { BuildResult, ImageBuild } from './build-request.ts';
import type { JobReporter } from './events.ts';
import { fetchBlobTo } from './fetch-blob.ts';
import { layersOf, type PlannedManifest, type PlatformImage, planIndex, planManifest } from './image-plan.ts';
import { readImages } from './landing.ts';
import { mountCandidates } from './mount-candidates.ts';
import { type PackedLayer, type PackStepOptions, packStep } from './pack-step.ts';
import { PhaseClock } from './phases.ts';
import { type ReadPointer, readPointer, storeKeys } from './publish.ts';
import { type AssembledArchive, publish } from './publish-step.ts';
import { PUSH_WIDTH, Pusher } from './push-step.ts';
import { checkResultDirectory, writeResultLayout } from './result-layout.ts';

export interface BuildContext extends Cancelable {
  readonly buildkit: BuildkitClient;
  readonly client: RegistryClient;
  readonly store: ObjectStore;
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  /** Cores for packing. */
  readonly jobs: number;
  readonly log: Log;
  readonly report: JobReporter;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** What every step of one build shares. */
interface Build extends BuildContext {
  readonly request: ImageBuild;
  readonly tag: string;
  readonly storageRef: string;
  readonly landing: OciLayout;
  readonly scratchDir: string;
  readonly cache: PackCache;
  readonly encoders: Readonly<Record<string, string>>;
  readonly before: ReadPointer | undefined;
  readonly clock: PhaseClock;
  /** Ends everything that runs on the build's signal. */
  readonly stop: (reason: unknown) => void;
}

/**
 * The whole line: solve → land → pack → push → archive → publish (docs/architecture.md). Steps overlap where they can;
 * nothing becomes visible before everything it needs is there. Killed at any moment, the same call again ends it: packs are
 * cached, blobs the registry has are not sent again, and the pointer's generation decides who may set the tag.
 */
export async function buildImage(request: ImageBuild, context: BuildContext): Promise<BuildResult> {
  const { workspaceId, imageId, target } = request;
  const { report, stateDir } = context;
  // One failing branch stops the others: they share this signal.
  const failure = new AbortController();
  const signal = AbortSignal.any([context.signal, failure.signal]);
  const stop = (reason: unknown) => {
    failure.abort(reason);
  };
  const clock = new PhaseClock(context.now, (phase, state) => {
    report({ type: 'phase', phase, state });
  });
  clock.start('preparing');
  if (request.layoutDir !== undefined) await checkResultDirectory(request.layoutDir);
  const tag = imageTag(workspaceId, imageId);
  const storageRef = `${target.registry}/${target.repository}:${tag}`;
  const landing = await OciLayout.open(join(stateDir, 'landing', tag), { create: true, signal });
  await using _landingLock = await landing.lock({ signal });
  const scratchDir = join(stateDir, 'tmp', `build-${tag}`); // ours alone, by the landing lock; what a killed build left goes first
  await rm(scratchDir, { recursive: true, force: true });
  await mkdir(scratchDir, { recursive: true });
  try {
    const [before, encoders] = await Promise.all([
      readPointer(context.store, storeKeys.pointer(workspaceId, imageId), { signal }),
      encoderIds({ tools: context.tools, signal }),
    ]);
    clock.end('preparing');
    const cache = new PackCache(join(stateDir, 'packs'));
    return await runBuild({
      ...context,
      request,
      tag,
      storageRef,
      landing,
      scratchDir,
      cache,
      encoders,
      before,
      clock,
      signal,
      stop,
    });
  } catch (thrown) {
    stop(thrown);
    context.signal.throwIfAborted();
    throw toWorkerError(thrown, `build ${storageRef}`);
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

async function runBuild(build: Build): Promise<BuildResult> {
  const { client, clock, landing, log, report, request, signal, storageRef } = build;
  const solved = await solveAndLand(build);
  const images = await readImages(landing, solved.descriptor, { signal });
  const sourceRef = `oci:${landing.directory}:latest`;
  log.info(
    { source_ref: sourceRef, storage_ref: storageRef },
    'indexing from local OCI layout with remote storage reference',
  );

  const mountFrom = mountCandidates(solved.baseReferences, request.target.registry);
  const pusher = new Pusher({ client, target: request.target, mountFrom, width: PUSH_WIDTH, clock, report, signal });
  try {
    const packed = await packAndPush(images, pusher, build);
    const archives = await clock.during('archiving', () =>
      Promise.all(images.map((image) => assembleOne(image, packed, build))),
    );
    const outcomes = await pusher.drain();
    const manifests = archives.map(({ manifest }) => manifest);
    const top = topOf(manifests);
    const { generation } = await clock.during('publishing', async () => {
      const record = buildRecord({ request, storageRef, solved, archives, layers: [...packed.values()] });
      const published = await publish(
        { request, tag: build.tag, storageRef, before: build.before, top, archives, record },
        build,
      );
      clock.addBytes('publishing', published.bytes);
      return published;
    });
    if (request.layoutDir !== undefined) {
      const fetchBlob = (blob: { readonly digest: Digest; readonly size: number }, path: string) =>
        fetchBlobTo(client, request.target, blob, path, { signal });
      await writeResultLayout(
        request.layoutDir,
        { tag: build.tag, top, manifests, images, packed: [...packed.values()], fetchBlob },
        { signal },
      );
    }
    return describeBuild(build, {
      solved,
      sourceRef,
      images,
      packed,
      archives,
      outcomes,
      top,
      generation,
      bytesPushed: pusher.bytesSent,
    });
  } catch (thrown) {
    build.stop(thrown);
    await pusher.abandon();
    throw thrown;
  }
}

/** BuildKit's result in the landing layout, tagged `latest`. What earlier builds left there and nothing names goes. */
async function solveAndLand({ buildkit, clock, landing, report, request, signal }: Build): Promise<BuildkitResult> {
  clock.start('building');
  const solved = await buildkit.build(request.build, {
    signal,
    landing,
    onEvent: (event) => {
      if (event.type === 'export-started') clock.start('landing');
      if (event.type === 'blob' && event.state === 'landed') clock.addBytes('landing', event.sizeBytes);
      report({ type: 'buildkit', event });
    },
  });
  clock.end('building');
  clock.end('landing');
  await landing.setTag('latest', solved.descriptor, { signal });
  return solved;
}

/** Packs the distinct layers of all platforms and hands each to the pusher the moment it is done. */
async function packAndPush(
  images: readonly PlatformImage[],
  pusher: Pusher,
  build: Build,
): Promise<ReadonlyMap<Digest, PackedLayer>> {
  const { cache, clock, encoders, jobs, landing, report, request, signal, tools } = build;
  const distinct = new Map(images.flatMap(layersOf).map((layer) => [layer.descriptor.digest, layer]));
  const packed = new Map<Digest, PackedLayer>();
  clock.start('packing');
  const options: PackStepOptions = {
    tools,
    cache,
    encoders,
    jobs,
    report,
    signal,
    compression: request.compression,
    keepAll: false,
    useCache: request.useCache,
    blobPath: ({ digest }) => landing.blobPath(digest),
  };
  for (const { manifest, configBytes } of images) {
    pusher.push({
      digest: manifest.config.digest,
      sizeBytes: configBytes.length,
      path: landing.blobPath(manifest.config.digest),
    });
  }
  for await (const layer of packStep([...distinct.values()], options)) {
    packed.set(layer.source.digest, layer);
    if (layer.packed === 'new') clock.addBytes('packing', layer.layer.plainBytes);
    pusher.push({ digest: layer.layer.digest, sizeBytes: layer.layer.sizeBytes, path: layer.blobPath });
  }
  clock.end('packing');
  return packed;
}

async function assembleOne(
  image: PlatformImage,
  packed: ReadonlyMap<Digest, PackedLayer>,
  build: Build,
): Promise<AssembledArchive> {
  const { clock, report, request, scratchDir, signal, storageRef, tools } = build;
  const platform = formatPlatform(image.platform);
  const manifest = planManifest(image, (source) => packedOf(packed, source).layer);
  const path = join(scratchDir, `${platform.replaceAll('/', '-')}.clip`);
  const layers = image.manifest.layers.map(({ digest }) => packedOf(packed, digest));
  const { bytes, descriptor } = manifest;
  const result = await archiveStep(
    {
      layers,
      configBytes: image.configBytes,
      manifest: { bytes, digest: descriptor.digest },
      ...request.target,
      imageName: storageRef,
      output: path,
    },
    { scratchDir, signal, tools },
  );
  clock.addBytes('archiving', result.sizeBytes);
  report({ type: 'archive', platform, digest: result.digest, sizeBytes: result.sizeBytes, entries: result.entries });
  return { platform, path, result, manifest };
}

interface Outcome {
  readonly solved: BuildkitResult;
  readonly sourceRef: string;
  readonly images: readonly PlatformImage[];
  readonly packed: ReadonlyMap<Digest, PackedLayer>;
  readonly archives: readonly AssembledArchive[];
  readonly outcomes: ReadonlyMap<Digest, PushOutcome>;
  readonly top: PlannedManifest;
  readonly generation: number;
  readonly bytesPushed: number;
}

function describeBuild({ clock, request, storageRef, store, tag }: Build, outcome: Outcome): BuildResult {
  const { archives, images, outcomes, packed, solved } = outcome;
  // In the order of the (first) image's manifest, whatever order they were packed in.
  const order = [...new Set(images.flatMap(({ manifest }) => manifest.layers.map(({ digest }) => digest)))];
  return {
    workspaceId: request.workspaceId,
    imageId: request.imageId,
    imageTag: tag,
    sourceRef: outcome.sourceRef,
    storageRef,
    manifestDigest: outcome.top.descriptor.digest,
    platforms: archives.map(({ platform }) => platform),
    layers: order.map((source) => {
      const { layer, packed: how } = packedOf(packed, source);
      const { diffId, digest, mediaType, plainBytes, sizeBytes } = layer;
      return {
        digest,
        diffId,
        mediaType,
        sizeBytes,
        plainBytes,
        packed: how,
        pushed: outcomes.get(digest) ?? 'present',
      };
    }),
    archives: archives.map(({ manifest, platform, result: { digest, entries, mountBytes, sizeBytes } }) => ({
      platform,
      uri: store.urlOf(storeKeys.archive(digest)),
      digest,
      sizeBytes,
      entries,
      mountBytes,
      manifestDigest: manifest.descriptor.digest,
    })),
    phases: clock.phases(),
    bytesPushed: outcome.bytesPushed,
    buildkit: { cachedSteps: solved.cachedSteps, steps: solved.steps },
    generation: outcome.generation,
  };
}

/** One platform: its manifest. Several: the index over them. */
function topOf(manifests: readonly PlannedManifest[]): PlannedManifest {
  const [only] = manifests;
  if (only === undefined) throw new WorkerError('MANIFEST_INVALID', 'the build gave no image');
  return manifests.length === 1 ? only : planIndex(manifests.map(({ descriptor }) => descriptor));
}

function packedOf(packed: ReadonlyMap<Digest, PackedLayer>, source: Digest): PackedLayer {
  const layer = packed.get(source);
  if (layer === undefined) throw new WorkerError('INTERNAL', `layer ${source} was not packed`);
  return layer;
}
