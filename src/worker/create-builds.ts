import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseWorkspaceId } from '../archive/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { type BuildQueue, type BuildRecord, isEnd, type StoredEvent } from '../queue/index.ts';
import type { RegistryClient, Repository } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Builds, BuildView, SubmitRequest, Submitted } from './api.ts';
import { storeContext } from './intake/context-store.ts';
import type { IntakeLimits } from './intake/intake-limits.ts';
import type { WorkerPolicy } from './policy/worker-policy.ts';
import { findPublished, type PublishedBuild, readPublished } from './published-builds.ts';
import type { Sealer } from './secrets/sealer.ts';
import { planSubmission } from './submit/plan-submission.ts';
import { WorkspaceTurns } from './workspace-turns.ts';

export interface BuildsOptions {
  readonly queue: BuildQueue;
  readonly store: ObjectStore;
  readonly client: RegistryClient;
  readonly sealer: Sealer;
  readonly policy: WorkerPolicy;
  readonly limits: IntakeLimits;
  /** Where images go that name no repository. */
  readonly target: Repository;
  /** For uploads and sources while they are looked at; made when missing. */
  readonly scratchDir: string;
  /** Throws when this machine has no room for more. */
  readonly requireRoom: () => Promise<void>;
  /** The longest a build may take from its submission on; Infinity: for ever. */
  readonly timeoutMs: number;
  readonly log: Log;
  /** The worker's, for git: PATH, proxies, certificates. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Submissions whose sources are looked at at once: each may fetch a repository, from a server that lets it wait. */
const RESOLVE_TURNS = { perWorkspace: 4, atOnce: 16 };
/** Before the key of a build that was answered from the store: it is in no queue. */
const PUBLISHED_ID = 'published-';

/** Intake of builds: `Builds` over a queue. */
export function createBuilds(options: BuildsOptions): Builds {
  return new QueuedBuilds(options);
}

class QueuedBuilds implements Builds {
  readonly #options: BuildsOptions;
  readonly #turns = new WorkspaceTurns(RESOLVE_TURNS);

  constructor(options: BuildsOptions) {
    this.#options = options;
  }

  async upload(workspaceId: string, bytes: AsyncIterable<Uint8Array>, { signal }: Cancelable) {
    const { limits, now, requireRoom, scratchDir, store } = this.#options;
    const { keepUploadsMs, maxUploadBytes: maxBytes } = limits;
    const workspace = parseWorkspaceId(workspaceId);
    const rest = { keepUploadsMs, maxBytes, now, requireRoom, scratchDir, store };
    return await storeContext(workspace, bytes, { ...rest, signal });
  }

  async submit(workspaceId: string, request: SubmitRequest, { signal }: Cancelable): Promise<Submitted> {
    const { queue } = this.#options;
    const { idempotencyKey } = request;
    const plan = () => this.#plan(workspaceId, request, { signal });
    const submission = await this.#turns.run(workspaceId, plan, signal);
    // A key that was used before names its build, whatever is published.
    const isRepeated =
      idempotencyKey !== undefined &&
      (await queue.submittedWith(workspaceId, idempotencyKey, { signal })) !== undefined;
    if (!isRepeated) {
      const { alsoAs, noCache } = request.spec;
      // Who wants every step to run wants no older answer, unless its age is said.
      const maxAgeMs = request.maxAgeMs ?? (noCache ? 0 : undefined);
      const published = await findPublished(submission, { ...this.#options, alsoAs, maxAgeMs, signal });
      if (published !== undefined) return { build: viewOfPublished(published), how: 'published' };
    }
    const { how, record } = await queue.submit(submission, { signal });
    return { build: await this.#view(record, { signal }), how };
  }

  async get(workspaceId: string, buildId: string, { signal }: Cancelable): Promise<BuildView> {
    const published = await this.#published(workspaceId, buildId, { signal });
    if (published !== undefined) return viewOfPublished(published);
    const record = await this.#options.queue.get(workspaceId, buildId, { signal });
    if (record === undefined) throw notFound(buildId);
    return await this.#view(record, { signal });
  }

  async cancel(workspaceId: string, buildId: string, reason: string, { signal }: Cancelable): Promise<BuildView> {
    const published = await this.#published(workspaceId, buildId, { signal });
    if (published !== undefined) return viewOfPublished(published);
    const record = await this.#options.queue.cancel(workspaceId, buildId, reason, { signal });
    if (record === undefined) throw notFound(buildId);
    return await this.#view(record, { signal });
  }

  async *watch(
    workspaceId: string,
    buildId: string,
    options: Parameters<Builds['watch']>[2],
  ): AsyncGenerator<StoredEvent> {
    const published = await this.#published(workspaceId, buildId, options);
    if (published !== undefined) {
      if (options.after < 1) yield eventOfPublished(published);
      return;
    }
    const { queue } = this.#options;
    if ((await queue.get(workspaceId, buildId, options)) === undefined) throw notFound(buildId);
    yield* queue.watch(workspaceId, buildId, options);
  }

  async list(workspaceId: string, query: Parameters<Builds['list']>[1], { signal }: Cancelable) {
    return await this.#options.queue.list(workspaceId, query, { signal });
  }

  async #plan(workspaceId: string, request: SubmitRequest, { signal }: Cancelable) {
    const scratchDir = join(this.#options.scratchDir, 'submit', randomUUID());
    try {
      const workspace = parseWorkspaceId(workspaceId);
      return await planSubmission(request, { ...this.#options, workspaceId: workspace, scratchDir, signal });
    } finally {
      await rm(scratchDir, { recursive: true, force: true });
    }
  }

  async #view(record: BuildRecord, { signal }: Cancelable): Promise<BuildView> {
    const { buildId, state, workspaceId } = record;
    const position = isEnd(state) ? undefined : await this.#options.queue.position(workspaceId, buildId, { signal });
    return { ...record, position };
  }

  /** The build that an answer from the store named. */
  async #published(workspaceId: string, buildId: string, { signal }: Cancelable): Promise<PublishedBuild | undefined> {
    if (!buildId.startsWith(PUBLISHED_ID)) return undefined;
    const key = buildId.slice(PUBLISHED_ID.length);
    if (!/^[0-9a-f]{64}$/.test(key)) throw notFound(buildId);
    const { store } = this.#options;
    const build = await readPublished(parseWorkspaceId(workspaceId), key, { store, signal });
    if (build === undefined) throw notFound(buildId);
    return build;
  }
}

function viewOfPublished({ imageId, key, publishedAtMs, result, workspaceId }: PublishedBuild): BuildView {
  return {
    buildId: `${PUBLISHED_ID}${key}`,
    jobId: key,
    workspaceId,
    imageId,
    state: 'done',
    priority: 0,
    submittedAtMs: publishedAtMs,
    startedAtMs: undefined,
    endedAtMs: publishedAtMs,
    attempt: 0,
    notBeforeMs: undefined,
    result,
    failure: undefined,
    workerId: undefined,
    sharedBy: 1,
    position: undefined,
  };
}

function eventOfPublished({ publishedAtMs, result }: PublishedBuild): StoredEvent {
  const what = { state: 'done', result };
  return { cursor: 1, attempt: 0, timeMs: publishedAtMs, phase: 'done', bytes: 0, kind: 'state', what };
}

function notFound(buildId: string): WorkerError {
  return new WorkerError('BUILD_NOT_FOUND', `the workspace has no build ${buildId.slice(0, 200)}`, {
    buildId: buildId.slice(0, 200),
  });
}
