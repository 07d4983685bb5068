import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { NativeToolPaths } from '../../native/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { LatestMode, RepositoryLock } from '../../release/index.ts';
import type { Console } from '../console/console.ts';
import { registryName, texts } from '../console/texts.ts';
import { hashService, type ServiceHash } from '../context/service-hash.ts';
import { type Decision, decide } from '../decide/decide.ts';
import type { LocalImage, RemoteImage } from '../decide/image-facts.ts';
import { lookUp } from '../decide/look-up.ts';
import type { Service } from '../file/service.ts';
import { LATEST, type PlannedTags, planTags, type TagOutcome } from '../push/plan-tags.ts';
import { publishKept, pushKept } from '../push/push-kept.ts';
import { writeTags } from '../push/write-tags.ts';
import { type LocalPlaces, localPlaces, readLocalImage } from '../state/local-images.ts';

/** What was asked for, of every service. */
export interface RunRequest {
  readonly version: string | undefined;
  readonly push: boolean;
  readonly force: boolean;
  readonly diffCheck: boolean;
  readonly latest: LatestMode;
  readonly dryRun: boolean;
  /** Say also without `--debug` what decided. */
  readonly explain: boolean;
  /** Name of the label for the context hash. */
  readonly label: string;
}

export interface ProcessContext extends Cancelable {
  readonly client: RegistryClient;
  readonly console: Console;
  readonly lock: RepositoryLock;
  readonly stateDir: string;
  readonly tools: NativeToolPaths;
  readonly workspaceId: string;
  /** Where archives are published. */
  readonly store: ObjectStore;
  /** Where those of images that were not pushed are. */
  readonly localStore: ObjectStore;
  /** Builds, and writes down what came out. */
  readonly build: (service: Service, hash: ServiceHash, places: LocalPlaces) => Promise<LocalImage>;
}

export interface ServiceResult {
  readonly service: string;
  readonly reference: string;
  /** `refuse` never comes here: it is an error. */
  readonly action: Exclude<Decision['action'], 'refuse'>;
  readonly layer: Decision['layer'];
  readonly reason: string;
  readonly contextHash: string | undefined;
  /** undefined where a dry run would have built it. */
  readonly digest: Digest | undefined;
  readonly tags: readonly TagOutcome[];
}

/** One service: find out, decide, build, push, tag. */
export async function processService(
  service: Service,
  request: RunRequest,
  context: ProcessContext,
): Promise<ServiceResult> {
  const { console, stateDir } = context;
  const { image, name } = service;
  const reference = `${image.registry}/${image.repository}`;
  console.say(texts.processing(name));
  const places = localPlaces(stateDir, image);
  const local = await readLocalImage(places);
  const { remotes, planned } = await lookAtRegistry(service, local, request, context);
  const hashed = await hashFor(service, request, context);
  const decision = decide({
    service: name,
    force: request.force,
    diffCheck: request.diffCheck,
    push: request.push,
    version: request.version,
    contextHash: hashed?.digest,
    unknownBases: hashed?.unknownBases ?? [],
    local,
    localInRegistry: await findLocal(local, remotes, service, request, context),
    remotes,
  });
  for (const line of decision.unanswered) console.warning(line);
  for (const line of decision.found) console.debug(line);
  if (request.explain) console.info(`${name}: ${decision.action} (${decision.layer}): ${decision.reason}`);
  if (decision.action === 'refuse')
    throw new WorkerError('TAG_PERMANENT', `${reference}: ${decision.reason}`, { tag: request.version });
  if (planned !== undefined && decision.action !== 'skip') sayPlan(planned, request, console);
  const digest = await imageOf(decision, { service, places, hashed, local }, request, context);
  const tags =
    planned === undefined ? [] : await push(digest, planned, { decision, remotes, service }, request, context);
  const { action, layer, reason } = decision;
  return { service: name, reference, action, layer, reason, contextHash: hashed?.digest, digest, tags };
}

async function lookAtRegistry(
  { image }: Service,
  local: LocalImage | undefined,
  { label, latest, push: wanted, version }: RunRequest,
  { client, console, signal }: ProcessContext,
): Promise<{ readonly remotes: readonly RemoteImage[]; readonly planned: PlannedTags | undefined }> {
  if (!wanted) return { remotes: [], planned: undefined };
  const existing = version === undefined ? [] : await client.listTags(image, { signal });
  const planned = planTags({ version, latest, existing });
  for (const warning of planned.warnings) console.warning(warning);
  const options = { client, image, label, knownDigest: local?.digest, signal };
  return { planned, remotes: await Promise.all(planned.tags.map((tag) => lookUp(tag, options))) };
}

/** The label needs it, so it is known even where it decides nothing. */
async function hashFor(
  service: Service,
  { diffCheck, force }: RunRequest,
  context: ProcessContext,
): Promise<ServiceHash | undefined> {
  if (!diffCheck && !force) return undefined;
  return await hashOf(service, context);
}

function hashOf(service: Service, { client, signal, stateDir, tools }: ProcessContext): Promise<ServiceHash> {
  return hashService(service, { client, cacheDir: `${stateDir}/services/stats`, signal, tools });
}

/** Whether what was built and pushed before is still there, under whatever tag. A registry that does not say so is `unknown`. */
async function findLocal(
  local: LocalImage | undefined,
  remotes: readonly RemoteImage[],
  { image }: Service,
  { label, push: wanted }: RunRequest,
  { client, signal }: ProcessContext,
): Promise<RemoteImage | undefined> {
  if (!wanted || local === undefined || local.isKept) return undefined;
  const { digest } = local;
  const tagged = remotes.find((remote) => remote.state === 'present' && remote.digest === digest);
  return tagged ?? (await lookUp(digest, { client, image, label, knownDigest: digest, signal }));
}

function sayPlan({ latestStays, tags }: PlannedTags, { version }: RunRequest, console: Console): void {
  if (version === undefined) return;
  console.say(texts.willCreate(tags));
  if (latestStays === undefined) console.say(texts.willMove(version));
}

interface Found {
  readonly service: Service;
  readonly places: LocalPlaces;
  readonly hashed: ServiceHash | undefined;
  readonly local: LocalImage | undefined;
}

/** The image's digest; for a push its bytes are in the registry then. undefined: a dry run does not know it. */
async function imageOf(
  decision: Decision,
  { hashed, local, places, service }: Found,
  request: RunRequest,
  context: ProcessContext,
): Promise<Digest | undefined> {
  const { client, console, localStore, signal, store, workspaceId } = context;
  const { image, name } = service;
  if (decision.action === 'build') {
    console.say(texts.building(name));
    console.debug(`${name} is built: ${decision.reason}`);
    if (request.dryRun) return undefined;
    const hash = hashed ?? (await hashOf(service, context));
    const built = await context.build(service, hash, places);
    console.say(texts.built(`${image.registry}/${image.repository}:${request.version ?? LATEST}`));
    return built.digest;
  }
  console.info(texts.skipping(name));
  const digest = decision.image?.digest;
  if (decision.action === 'push-only' && decision.image?.from === 'local' && local?.isKept === true) {
    if (request.dryRun) return digest;
    await pushKept(local.digest, { client, image, layoutDir: places.layout, signal });
    await publishKept({ workspaceId, imageId: service.imageId }, local.digest, { from: localStore, to: store, signal });
  }
  return digest;
}

interface Pushing {
  readonly decision: Decision;
  readonly remotes: readonly RemoteImage[];
  readonly service: Service;
}

async function push(
  digest: Digest | undefined,
  planned: PlannedTags,
  { decision, remotes, service: { image } }: Pushing,
  { dryRun, latest, version }: RunRequest,
  { client, console, lock, signal }: ProcessContext,
): Promise<readonly TagOutcome[]> {
  if (decision.action === 'push-only') console.info(texts.pushingAnyway());
  const before = new Map(
    remotes.flatMap((remote) => (remote.state === 'present' ? [[remote.tag, remote.digest]] : [])),
  );
  if (decision.action !== 'skip') console.say(texts.pushingTo(registryName(image.registry)));
  // A dry run of a build does not know the digest; every tag then moves as far as anybody can say.
  const name = digest ?? ('sha256:' as Digest);
  return await writeTags(name, planned, { before, client, console, dryRun, image, latest, lock, signal, version });
}
