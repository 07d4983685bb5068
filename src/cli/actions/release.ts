import { readFile, writeFile } from 'node:fs/promises';
import { parseImageId, parseWorkspaceId } from '../../archive/index.ts';
import { toWorkerError, WorkerError } from '../../errors/index.ts';
import { formatReference, type RegistryClient, type Repository } from '../../registry/index.ts';
import {
  applyPlan,
  createRepositoryLock,
  hasEnded,
  type LatestMode,
  type PlannedRelease,
  parseReleaseDocument,
  planRelease,
  RELEASE_LINES,
  type ReleaseContext,
  type ReleaseDocument,
  type Released,
  type ReleaseRequest,
  release,
  releaseDocument,
  releaseRegistry,
  releaseRepository,
  requestOf,
  requireCommitTag,
  requireVersionTag,
  storeLedger,
  thisHolder,
  undoRelease,
} from '../../release/index.ts';
import { buildkitRequest } from '../buildkit-flags.ts';
import type { CommandContext } from '../context.ts';
import { imageIdOf } from '../image-id.ts';
import { formatTable, writeResult } from '../output.ts';
import { parseCompression } from '../parse-options.ts';
import { LOCK_CLOCK } from '../repository-lock.ts';
import { documentOfBehind, plannedRetention, runRetentionBehind, textOfBehind } from '../retention-behind.ts';
import { storeOf } from '../retention-context.ts';
import { objectStore, registryClient } from '../services.ts';
import { type PipelineFlags, runPipeline } from './build.ts';

interface NameFlags {
  readonly commit?: string;
  readonly domain?: string;
  readonly owner?: string;
  readonly registry?: string;
  readonly latest: LatestMode;
}

interface PlaceFlags {
  readonly plainHttp?: boolean;
  readonly store?: string;
}

export interface ApplyFlags extends PipelineFlags {
  readonly workspace?: string;
  readonly retention?: string;
  readonly packagesApi?: string;
}

export interface ReleaseFlags extends NameFlags, ApplyFlags {
  readonly dryRun?: boolean;
}

export interface ReleasePlanFlags extends NameFlags, PlaceFlags {
  readonly output?: string;
}

export interface UndoFlags extends PlaceFlags {
  readonly packagesApi?: string;
  readonly dryRun?: boolean;
}

/** `clipyard release`. */
export async function releaseApp(
  app: string,
  version: string,
  flags: ReleaseFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const request = requestFor(app, version, flags, context);
  await using place = await openPlace(request.repository, flags, json, context);
  if (flags.dryRun === true) {
    const planned = await planRelease(request, place.context);
    sayDecision(planned, request, place.context.say);
    writeResult(context.stdout, planned.document, json, () => describe(planned.document));
    return;
  }
  await finishRelease(request, place, flags, json, context, (build) => release(request, { ...place.context, build }));
}

/** `clipyard release plan`. */
export async function planReleaseFile(
  app: string,
  version: string,
  flags: ReleasePlanFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const request = requestFor(app, version, flags, context);
  await using place = await openPlace(request.repository, flags, json, context);
  const planned = await planRelease(request, place.context);
  const { document } = planned;
  sayDecision(planned, request, place.context.say);
  const path = flags.output ?? `${app}-${version}.plan.json`;
  await writeFile(path, `${JSON.stringify(document, undefined, 2)}\n`).catch((cause: unknown) => {
    throw toWorkerError(cause, `write the plan ${path}`);
  });
  writeResult(context.stdout, document, json, () => `${describe(document)}\nplan     ${path}\n`);
}

/** What is decided by the commit's image, where nothing is done about it yet. */
function sayDecision({ lookup }: PlannedRelease, { commit = '' }: ReleaseRequest, say: (line: string) => void): void {
  if (lookup?.state === 'present') say(RELEASE_LINES.willRetag());
  if (lookup?.state === 'absent') say(RELEASE_LINES.notFound(commit));
  if (lookup?.state === 'unknown') say(RELEASE_LINES.unknown(commit, lookup.error.message));
}

/** `clipyard release apply`. */
export async function applyReleasePlan(
  path: string,
  flags: ApplyFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const plan = parseReleaseDocument(await readDocument(path));
  const request = requestOf(plan);
  await using place = await openPlace(request.repository, flags, json, context);
  await finishRelease(request, place, flags, json, context, (build) => applyPlan(plan, { ...place.context, build }));
}

/** `clipyard release undo`. */
export async function undoReleaseFile(
  path: string,
  flags: UndoFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const document = parseReleaseDocument(await readDocument(path));
  const { registry, repository } = document;
  await using place = await openPlace({ registry, repository }, flags, json, context);
  const registryOf = {
    ...place.context.registry,
    removeTag: tagRemover({ registry, repository }, place, flags, context),
  };
  const tags = await undoRelease(
    document,
    { isDryRun: flags.dryRun ?? false },
    { ...place.context, registry: registryOf },
  );
  writeResult(context.stdout, { registry, repository, tags }, json, () =>
    tags.length === 0
      ? 'no tag was moved by it\n'
      : formatTable(
          ['tag', 'was', 'is', ''],
          tags.map(({ action, after, before, tag }) => [tag, short(before), short(after), action]),
        ),
  );
}

function requestFor(app: string, version: string, flags: NameFlags, { settings }: CommandContext): ReleaseRequest {
  const { domain = settings.releaseDomain, owner = settings.releaseOwner } = flags;
  const registry = flags.registry ?? settings.registry?.split('/')[0];
  for (const [flag, value, variable] of [
    ['--domain', domain, 'CLIPYARD_RELEASE_DOMAIN'],
    ['--owner', owner, 'CLIPYARD_RELEASE_OWNER'],
    ['--registry', registry, 'CLIPYARD_REGISTRY'],
  ] as const)
    if (value === undefined) throw new WorkerError('USAGE', `no ${flag}: give it or set ${variable}`);
  return {
    app,
    version: requireVersionTag(version),
    // A workflow writes an empty one where it knows none.
    commit: flags.commit === undefined || flags.commit === '' ? undefined : requireCommitTag(flags.commit),
    repository: releaseRepository({ app, domain: domain ?? '', owner: owner ?? '', registry: registry ?? '' }),
    latest: flags.latest,
  };
}

type Place = AsyncDisposable & { readonly client: RegistryClient; readonly context: Omit<ReleaseContext, 'build'> };

/** Registry and ledger of a repository, and where its lines go. */
async function openPlace(
  repository: Repository,
  flags: PlaceFlags,
  json: boolean,
  context: CommandContext,
): Promise<Place> {
  const { settings, signal, stderr } = context;
  const stack = new AsyncDisposableStack();
  const client = stack.use(await registryClient(context, flags));
  const store = stack.use(objectStore(context, flags.store));
  return {
    client,
    context: {
      registry: releaseRegistry(client, repository),
      ledger: storeLedger(store, repository),
      lock: (options) => createRepositoryLock(settings.stateDir).hold(repository, options),
      holder: await thisHolder(),
      hasEnded,
      clock: LOCK_CLOCK,
      pause: (options) => LOCK_CLOCK.sleep(1000, options),
      say: (line) => {
        stderr.write(json ? `${JSON.stringify({ event: 'release', timeMs: Date.now(), line })}\n` : `${line}\n`);
      },
      signal,
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A tag alone, where the registry deletes by digest only, or through GitHub's packages API, too. */
function tagRemover(
  repository: Repository,
  { client, context: { registry } }: Place,
  { packagesApi }: UndoFlags,
  context: CommandContext,
): ReleaseContext['registry']['removeTag'] {
  return async (tag, { signal }) => {
    await using stack = new AsyncDisposableStack();
    const store = storeOf({ client, repository, packagesApi }, context, stack);
    const digest = await registry.find(tag, { signal });
    if (digest !== undefined) await store.deleteTag(tag, digest, { signal });
  };
}

/** The image through the whole pipeline, by digest: which tags name it is for the release to say. */
function buildFor(
  { app, repository }: ReleaseRequest,
  flags: ApplyFlags,
  json: boolean,
  context: CommandContext,
): ReleaseContext['build'] {
  return async ({ signal }) => {
    const build = await buildkitRequest(flags, context);
    const { manifestDigest, platforms } = await runPipeline(
      {
        workspaceId: parseWorkspaceId(flags.workspace ?? context.settings.workspace),
        imageId: parseImageId(imageIdOf(app)),
        target: repository,
        build,
        compression: parseCompression(flags),
        useCache: flags.packCache,
        layoutDir: undefined,
        archiveFormat: 'clipyard',
        alsoAs: undefined,
        indexFrom: 'layout',
        isUntagged: true,
      },
      flags,
      json,
      { ...context, signal },
    );
    return { digest: manifestDigest, platforms };
  };
}

/** Releases, then runs the retention that is configured: whatever comes of that, the release is done and says so. */
async function finishRelease(
  request: ReleaseRequest,
  { client }: Place,
  flags: ApplyFlags,
  json: boolean,
  context: CommandContext,
  run: (build: ReleaseContext['build']) => Promise<Released>,
): Promise<void> {
  const { repository } = request;
  const { packagesApi } = flags;
  const retained = { client, repository, packagesApi, stores: flags.store === undefined ? [] : [flags.store] };
  const policy = await plannedRetention(flags.retention, undefined, retained, context);
  const began = performance.now();
  const released = await run(buildFor(request, flags, json, context));
  const durationMs = Math.round(performance.now() - began);
  const behind = await runRetentionBehind(policy, retained, json, context);
  const document = { ...releaseDocument(request, released, Date.now()), durationMs };
  writeResult(
    context.stdout,
    { ...document, retention: documentOfBehind(behind) },
    json,
    () => `${describe(document)}${textOfBehind(behind)}`,
  );
}

function describe({ registry, repository, source, tags }: ReleaseDocument): string {
  const rows = tags.map(({ action, after, before, reason, tag }) => [tag, short(before), short(after), action, reason]);
  const image = `${formatReference({ registry, repository })}@${source ?? '(to be built)'}`;
  return `${formatTable(['tag', 'was', 'is', '', 'why'], rows)}image    ${image}\n`;
}

function short(digest: string | null): string {
  return digest === null ? '-' : digest.slice(7, 19);
}

async function readDocument(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw toWorkerError(thrown, `read the plan ${path}`);
  }
}
