import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageTag } from '../archive/index.ts';
import type { BuildkitClient, BuildRequest as BuildkitRequest, BuildkitResult, LandedVia } from '../buildkit/index.ts';
import type { Limits } from '../config/index.ts';
import { type Digest, hexOf } from '../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { ArchiveCache, type Compression, indexTool, PackCache, SharedPacks } from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { ABSENT_ANNOTATION, type Descriptor, formatPlatform, OciLayout } from '../oci/index.ts';
import type { GrowingBlob, PushOutcome, RegistryClient } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { archiveStep } from './archive-step.ts';
import { type PlannedAttestation, planAttestation, readAttestations } from './attestations.ts';
import type { BuildJournal } from './build-journal.ts';
import { buildRecord } from './build-record.ts';
import type { BuildResult, ImageBuild, UsedCompression } from './build-request.ts';
import { dropDamagedPacks } from './damaged-packs.ts';
import type { JobReporter } from './events.ts';
import { fetchBlobTo } from './fetch-blob.ts';
import { layersOf, type PlannedManifest, type PlatformImage, planIndex, planManifest } from './image-plan.ts';
import { indexPushed } from './index-pushed.ts';
import { journalLanded, landedBefore } from './landed-before.ts';
import { readImages } from './landing.ts';
import { landingDirectory } from './landing-upkeep.ts';
import { LevelSteering } from './level-steering.ts';
import { mountCandidates } from './mount-candidates.ts';
import { type PackCacheSettings, packsDirectory } from './pack-cache-settings.ts';
import { type PackedLayer, type PackRules, packStep } from './pack-step.ts';
import { PhaseClock } from './phases.ts';
import { type PointerContent, type ReadPointer, storeKeys } from './publish.ts';
import { type AssembledArchive, publish } from './publish-step.ts';
import { FOLLOW_BYTES, PUSH_WIDTH, Pusher } from './push-step.ts';
import { buildScratchDirectory } from './reap-builds.ts';
import { type BlobLookup, blobLookup } from './registry-blobs.ts';
import { checkResultDirectory, writeResultLayout } from './result-layout.ts';
import { journalStaged, resumeBuild, type StagedResult, yieldToOwn } from './resume-build.ts';
import { needNotLand } from './skip-landing.ts';
import { trimCache } from './trim-cache.ts';
import { dropUploads, readUploadNotes, uploadNotes } from './upload-notes.ts';

export interface BuildContext extends Cancelable {
  readonly buildkit: BuildkitClient;
  readonly client: RegistryClient;
  readonly store: ObjectStore;
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  readonly packCache: PackCacheSettings;
  /** What a layer may cost. */
  readonly limits: Limits;
  /** Cores for packing. */
  readonly jobs: number;
  readonly log: Log;
  readonly report: JobReporter;
  /** Of a job that another process may take up; without it a build begins anew. */
  readonly journal?: BuildJournal | undefined;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** What both attempts of one build share. */
interface Preparation extends BuildContext {
  readonly request: ImageBuild;
  readonly tag: string;
  readonly storageRef: string;
  readonly landing: OciLayout;
  readonly scratchDir: string;
  readonly rules: PackRules;
  /** undefined: archives are made, whatever is there. */
  readonly archives: ArchiveCache | undefined;
  readonly before: ReadPointer | undefined;
  readonly clock: PhaseClock;
  /** Of blobs, by all attempts. */
  readonly sent: { bytes: number };
}

/** What every step of one attempt shares. */
interface Build extends Preparation {
  readonly cache: PackCache;
  readonly inRegistry: BlobLookup;
  /** Layers by the digest BuildKit gave them, as they become ready. */
  readonly packed: Map<Digest, PackedLayer>;
  /** Ends everything that runs on the attempt's signal. */
  readonly stop: (reason: unknown) => void;
}

/**
 * The whole line: solve → land → pack → push → archive → publish (docs/architecture.md). Steps overlap where they can;
 * nothing becomes visible before everything it needs is there. Killed at any moment, the same call again ends it: packs are
 * cached, blobs the registry has are not sent again, and the pointer's generation decides who may set the tag. With a journal
 * it goes on from the last finished step, and what was published is not published again. A damaged pack cache costs a second
 * attempt, nothing else.
 */
export async function buildImage(request: ImageBuild, context: BuildContext): Promise<BuildResult> {
  const { workspaceId, imageId, target } = request;
  const { report, signal, stateDir } = context;
  const clock = new PhaseClock(context.now, (phase, state) => {
    report({ type: 'phase', phase, state });
  });
  clock.start('preparing');
  if (request.layoutDir !== undefined) await checkResultDirectory(request.layoutDir);
  const tag = imageTag(workspaceId, imageId);
  const storageRef = `${target.registry}/${target.repository}:${tag}`;
  const names = { request, tag, storageRef };
  // Before the lock: who has it may be the paused process whose work is taken up.
  const isTakenUp = context.journal !== undefined && context.journal.read('begun').length > 0;
  const earlier = isTakenUp ? await resumeBuild(names, context) : undefined;
  if (earlier?.result !== undefined) return earlier.result;
  const landing = await OciLayout.open(join(landingDirectory(stateDir), tag), { create: true, signal });
  await using _landingLock = await landing.lock({ signal });
  const scratchDir = buildScratchDirectory(stateDir, tag); // ours alone, by the landing lock; what a killed build left goes first
  await dropUploads(await readUploadNotes({ journal: context.journal, scratchDir }), context.client);
  await rm(scratchDir, { recursive: true, force: true });
  await makeDirectory(scratchDir);
  try {
    const [resumed, tool] = await Promise.all([
      earlier ?? resumeBuild(names, context),
      indexTool({ tools: context.tools, stateDir, signal }),
    ]);
    if (resumed.result !== undefined) return resumed.result;
    const { before } = resumed;
    clock.end('preparing');
    const rules = { encoders: tool.encoders, compression: request.compression, keepAll: false };
    const { log } = context;
    const archives = request.useCache
      ? new ArchiveCache({ root: packsDirectory(stateDir), tool, log, signal })
      : undefined;
    const sent = { bytes: 0 };
    const preparation = {
      ...context,
      request,
      tag,
      storageRef,
      landing,
      scratchDir,
      rules,
      archives,
      before,
      clock,
      sent,
    };
    const result = await attemptTwice(preparation);
    if (archives?.grew === true || result.layers.some(({ packed }) => packed === 'new')) await trimCache(preparation);
    return result;
  } catch (thrown) {
    signal.throwIfAborted();
    return await yieldToOwn(toWorkerError(thrown, `build ${storageRef}`), names, context);
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

/** What the pack cache gave may be damaged; that shows where it is used. Then it is dropped, and the line runs once more. */
async function attemptTwice(preparation: Preparation): Promise<BuildResult> {
  const { log, request, signal } = preparation;
  const packed = new Map<Digest, PackedLayer>();
  try {
    return await attempt(preparation, packed);
  } catch (thrown) {
    signal.throwIfAborted();
    const cache = packCacheOf(preparation, signal);
    if (!(await dropDamagedPacks(thrown, [...packed.values()], { cache, signal }))) throw thrown;
    const { code, message } = toWorkerError(thrown, 'use the pack cache');
    log.warn({ code, reason: message }, 'the pack cache was damaged; packing again');
    // The steps ran a moment ago: BuildKit gives their layers again.
    const again = { ...request, build: { ...request.build, noCache: false } };
    return await attempt({ ...preparation, request: again }, new Map());
  }
}

async function attempt(preparation: Preparation, packed: Map<Digest, PackedLayer>): Promise<BuildResult> {
  // One failing branch stops the others: they share this signal. What failed first is what is told.
  const failure = new AbortController();
  const signal = AbortSignal.any([preparation.signal, failure.signal]);
  const stop = (reason: unknown) => {
    failure.abort(reason);
  };
  await using cache = packCacheOf(preparation, signal);
  const inRegistry = blobLookup(preparation.client, preparation.request.target, { signal });
  try {
    return await runBuild({ ...preparation, cache, inRegistry, packed, signal, stop });
  } catch (thrown) {
    stop(thrown);
    preparation.signal.throwIfAborted();
    throw failure.signal.reason;
  }
}

function packCacheOf({ limits, log, packCache, scratchDir, stateDir }: Preparation, signal: AbortSignal): PackCache {
  const shared = packCache.shared === undefined ? undefined : new SharedPacks(packCache.shared, log);
  return new PackCache({ root: packsDirectory(stateDir), pinDir: join(scratchDir, 'pins'), limits, shared, signal });
}

async function runBuild(build: Build): Promise<BuildResult> {
  const { client, clock, inRegistry, landing, log, packed, report, request, sent, signal, storageRef } = build;
  const solved = await solveAndLand(build);
  const images = await readImages(landing, solved.descriptor, { signal });
  const sourceRef = `oci:${landing.directory}:latest`;
  if (request.indexFrom === 'layout') {
    log.info(
      { source_ref: sourceRef, storage_ref: storageRef },
      'indexing from local OCI layout with remote storage reference',
    );
  }

  const mountFrom = mountCandidates(solved.baseReferences, request.target.registry);
  const { target } = request;
  const onFailure = build.stop;
  const pusher = new Pusher({
    client,
    target,
    inRegistry,
    mountFrom,
    width: PUSH_WIDTH,
    clock,
    report,
    onFailure,
    onUpload: uploadNotes(target, build),
    signal,
  });
  const steering =
    request.compression.level === 'auto' ? new LevelSteering({ meter: pusher.meter, log, now: build.now }) : undefined;
  try {
    await packAndPush(images, pusher, steering, build);
    if (request.indexFrom === 'registry') await pusher.drain();
    const archives = await clock.during('archiving', () =>
      Promise.all(images.map((image) => assembleOne(image, build))),
    );
    const attestations = await attestAndPush(solved, images, archives, pusher, build);
    const outcomes = await pusher.drain();
    const manifests = archives.map(({ manifest }) => manifest);
    const top = topOf(manifests, attestations);
    const describe = () =>
      describeBuild(build, {
        solved,
        sourceRef,
        images,
        archives,
        attestations,
        outcomes,
        top,
        bytesPushed: sent.bytes + pusher.bytesSent,
        compression: usedCompression(request.compression, steering),
      });
    const onStaged = async (content: PointerContent) => {
      const { descriptor } = top;
      await journalStaged(build.journal, { content, result: describe(), top: descriptor });
    };
    const { generation } = await clock.during('publishing', async () => {
      const record = buildRecord({ request, storageRef, solved, archives, layers: [...packed.values()] });
      const published = await publish(
        { request, tag: build.tag, storageRef, before: build.before, top, archives, attestations, record },
        { ...build, onStaged },
      );
      clock.addBytes('publishing', published.bytes);
      return published;
    });
    if (request.layoutDir !== undefined) {
      const fetchBlob = (blob: { readonly digest: Digest; readonly size: number }, path: string) =>
        fetchBlobTo(client, target, blob, path, { signal });
      await writeResultLayout(
        request.layoutDir,
        { tag: build.tag, top, manifests, attestations, images, packed: [...packed.values()], fetchBlob },
        { signal },
      );
    }
    return { ...describe(), generation };
  } catch (thrown) {
    build.stop(thrown);
    await pusher.abandon();
    sent.bytes += pusher.bytesSent;
    throw thrown;
  }
}

/** BuildKit's result in the landing layout, tagged `latest`. Layers whose packs are known and whose blobs are safe stay out. */
async function solveAndLand(build: Build): Promise<BuildkitResult> {
  const { buildkit, cache, clock, inRegistry, journal, landing, report, request, rules, signal } = build;
  const landed = request.layoutDir === undefined ? await landedBefore(landing, journal, { signal }) : undefined;
  if (landed !== undefined) return landed;
  const skipping = { ...rules, cache, inRegistry, wantsLayout: request.layoutDir !== undefined };
  clock.start('building');
  const solved = await buildkit.build(namedForAttestations(build), {
    signal,
    landing,
    have: (blob) => request.useCache && needNotLand(blob, skipping),
    onEvent: (event) => {
      if (event.type === 'export-started') clock.start('landing');
      if (event.type === 'blob' && cameOver(event.via)) clock.addBytes('landing', event.sizeBytes);
      report({ type: 'buildkit', event });
    },
  });
  clock.end('building');
  clock.end('landing');
  const incomplete = solved.blobs.some(({ via }) => via === 'elsewhere');
  const annotations = { ...solved.descriptor.annotations, ...(incomplete && { [ABSENT_ANNOTATION]: 'registry' }) };
  await landing.setTag('latest', { ...solved.descriptor, annotations }, { signal });
  await journalLanded(journal, solved);
  return solved;
}

/** The name is part of what is attested, and of nothing else. */
function namedForAttestations({ request, storageRef }: Build): BuildkitRequest {
  const { attestations = {} } = request.build;
  return Object.keys(attestations).length === 0 ? request.build : { ...request.build, imageName: storageRef };
}

/** Told once a blob, when it has landed. */
function cameOver(via: LandedVia | undefined): boolean {
  return via === 'link' || via === 'read' || via === 'session';
}

/** Packs the distinct layers of all platforms; each goes to the pusher while it grows, or the moment it is done. */
async function packAndPush(
  images: readonly PlatformImage[],
  pusher: Pusher,
  steering: LevelSteering | undefined,
  build: Build,
): Promise<void> {
  const { clock, journal, landing, packed, request, rules } = build;
  const distinct = new Map(images.flatMap(layersOf).map((layer) => [layer.descriptor.digest, layer]));
  clock.start('packing');
  const sourceOf = async (descriptor: Descriptor) =>
    (await landing.hasBlob(descriptor)) ? landing.blobPath(descriptor.digest) : undefined;
  const growing = {
    fromBytes: FOLLOW_BYTES,
    follow: (blob: GrowingBlob, source: Digest) => {
      pusher.follow(blob, source);
    },
  };
  const steered = steering === undefined ? {} : { steering };
  const options = { ...build, ...rules, useCache: request.useCache, sourceOf, growing, ...steered };
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
  await journal?.write('packed', { layers: [...packed.values()].map(({ layer }) => layer.digest) });
}

async function assembleOne(image: PlatformImage, build: Build): Promise<AssembledArchive> {
  const { client, clock, packed, report, request, storageRef, signal } = build;
  const platform = formatPlatform(image.platform);
  const manifest = planManifest(image, (source) => packedOf(packed, source).layer);
  const path = join(build.scratchDir, `${platform.replaceAll('/', '-')}.clip`);
  const layers = image.manifest.layers.map(({ digest }) => packedOf(packed, digest));
  const { bytes, descriptor } = manifest;
  const fetchBlob = (blob: { readonly digest: Digest; readonly size: number }, to: string) =>
    fetchBlobTo(client, request.target, blob, to, { signal });
  const result =
    request.indexFrom === 'registry'
      ? await indexPushed(image.platform, manifest, path, build)
      : await archiveStep(
          {
            layers,
            configBytes: image.configBytes,
            manifest: { bytes, digest: descriptor.digest },
            ...request.target,
            imageName: storageRef,
            output: path,
            format: request.archiveFormat,
          },
          { ...build, fetchBlob },
        );
  clock.addBytes('archiving', result.sizeBytes);
  report({ type: 'archive', platform, digest: result.digest, sizeBytes: result.sizeBytes, entries: result.entries });
  return { platform, path, result, manifest };
}

/** What BuildKit attests speaks of the manifests before packing: rewritten, as soon as the final ones are known. */
async function attestAndPush(
  solved: BuildkitResult,
  images: readonly PlatformImage[],
  archives: readonly AssembledArchive[],
  pusher: Pusher,
  { landing, scratchDir, signal }: Build,
): Promise<readonly PlannedAttestation[]> {
  const published = new Map(images.map(({ descriptor }, at) => [descriptor.digest, archives[at]?.manifest.descriptor]));
  const attestations = (await readAttestations(landing, solved.descriptor, { signal })).flatMap((attestation) => {
    const subject = published.get(attestation.subject);
    return subject === undefined ? [] : [planAttestation(attestation, subject)];
  });
  for (const { bytes, descriptor } of attestations.flatMap(({ blobs }) => blobs)) {
    const path = join(scratchDir, hexOf(descriptor.digest));
    await writeFile(path, bytes);
    pusher.push({ digest: descriptor.digest, sizeBytes: bytes.length, path });
  }
  return attestations;
}

interface Outcome {
  readonly solved: BuildkitResult;
  readonly sourceRef: string;
  readonly images: readonly PlatformImage[];
  readonly archives: readonly AssembledArchive[];
  readonly attestations: readonly PlannedAttestation[];
  readonly outcomes: ReadonlyMap<Digest, PushOutcome>;
  readonly top: PlannedManifest;
  readonly bytesPushed: number;
  readonly compression: UsedCompression;
}

function describeBuild({ clock, packed, request, storageRef, store, tag }: Build, outcome: Outcome): StagedResult {
  const { archives, images, outcomes, solved } = outcome;
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
    attestations: outcome.attestations.map(({ manifest, predicateTypes, subject }) => ({
      manifestDigest: manifest.descriptor.digest,
      subject,
      predicateTypes,
    })),
    phases: clock.phases(),
    bytesPushed: outcome.bytesPushed,
    compression: outcome.compression,
    buildkit: { cachedSteps: solved.cachedSteps, steps: solved.steps },
  };
}

function usedCompression({ codec, level }: Compression, steering: LevelSteering | undefined): UsedCompression {
  if (level !== 'auto') return { codec, level, levels: [level], reason: 'asked' };
  const levels = steering?.used ?? [];
  const link = steering?.linkBytesPerSecond;
  if (levels.length === 0) return { codec, level, levels, reason: 'nothing was packed' };
  const seen = link === undefined ? 'the push was too short to measure' : `the push took ${formatRate(link)}`;
  return { codec, level, levels, reason: seen };
}

function formatRate(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
}

/** One platform: its manifest. Several, or attestations: the index over them. */
function topOf(manifests: readonly PlannedManifest[], attestations: readonly PlannedAttestation[]): PlannedManifest {
  const [only] = manifests;
  if (only === undefined) throw new WorkerError('MANIFEST_INVALID', 'the build gave no image');
  const all = [...manifests, ...attestations.map(({ manifest }) => manifest)];
  return all.length === 1 ? only : planIndex(all.map(({ descriptor }) => descriptor));
}

function packedOf(packed: ReadonlyMap<Digest, PackedLayer>, source: Digest): PackedLayer {
  const layer = packed.get(source);
  if (layer === undefined) throw new WorkerError('INTERNAL', `layer ${source} was not packed`);
  return layer;
}
