import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import type { ControlClient } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { callUnary } from '../rpc/index.ts';
import type { Log } from '../telemetry/index.ts';
import { resolveInputs } from './build-inputs.ts';
import type { BuildRequest } from './build-request.ts';
import { type BuildkitResult, type ExportedDescriptor, exportedDescriptorOf } from './build-result.ts';
import { contentReadHandlers } from './cache/content-store.ts';
import { LocalCaches } from './cache/local-caches.ts';
import { failureOfCall } from './call-failure.ts';
import { openChannel } from './channel.ts';
import { DEFAULT_CONTEXT_LIMITS } from './context/context-limits.ts';
import { fileSyncHandlers } from './context/file-sync.ts';
import { contentHandlers, EXPORT_STORE } from './landing/content-service.ts';
import { Lander, type LanderOptions } from './landing/lander.ts';
import { LANDING_PATHS, type Landing, type LandingPath } from './landing/landing.ts';
import { BuildProgress, type StepCounts } from './progress/build-progress.ts';
import type { BuildListener } from './progress/events.ts';
import { authHandlers } from './session/auth.ts';
import { healthHandlers } from './session/health.ts';
import type { RpcHandler } from './session/rpc-server.ts';
import { secretHandlers } from './session/secrets.ts';
import { Session } from './session/session.ts';
import { sshHandlers } from './session/ssh.ts';
import { solve } from './solve.ts';
import type { Subrequest } from './solve-request.ts';
import { daemonPlatforms, type PruneBounds, pruneCache } from './upkeep.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const CACHE_PATHS: readonly LandingPath[] = ['read', 'session'];

export interface ConnectOptions extends Cancelable {
  /** `unix:///path` or `tcp://host:port`. */
  readonly address: string;
  /** `<root>/runc-<snapshotter>/content` of a daemon on this machine: blobs are linked from there. */
  readonly contentDir?: string;
  readonly log: Log;
}

export interface BuildOptions extends Cancelable {
  /** Where the image's blobs go; an `OciLayout`. Manifests and configuration land there too. */
  readonly landing: Landing;
  readonly onEvent?: BuildListener;
  /** Blobs the caller has elsewhere and does not want in the layout; asked once a blob, while the daemon waits. */
  readonly have?: LanderOptions['have'];
  /** Ways a blob may come; default: all. */
  readonly paths?: readonly LandingPath[];
}

/** `RuleName: what is wrong (line 7)`, as the frontend words it. */
export interface LintWarning {
  readonly text: string;
  readonly url: string | undefined;
}

export interface BuildkitInfo {
  readonly version: string;
  readonly revision: string;
}

/** One buildkitd: builds images into OCI layouts. Builds may run side by side. */
export class BuildkitClient implements AsyncDisposable {
  readonly #options: Omit<ConnectOptions, 'signal'>;
  readonly #control: ControlClient;
  readonly #reader: ControlClient;

  constructor(options: Omit<ConnectOptions, 'signal'>) {
    this.#options = options;
    this.#control = openChannel(options.address);
    this.#reader = openChannel(options.address);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#control.close();
    this.#reader.close();
    return Promise.resolve();
  }

  /** Throws BUILDKIT_UNAVAILABLE. */
  async info({ signal }: Cancelable): Promise<BuildkitInfo> {
    try {
      const { buildkitVersion } = await callUnary(
        this.#control.info.bind(this.#control),
        {},
        { signal, timeoutMs: CONNECT_TIMEOUT_MS },
      );
      return { version: buildkitVersion?.version ?? '', revision: buildkitVersion?.revision ?? '' };
    } catch (thrown) {
      signal.throwIfAborted();
      throw failureOfCall(thrown, `ask buildkitd at ${this.#options.address}`).error;
    }
  }

  /** `os/arch[/variant]`. Throws BUILDKIT_UNAVAILABLE. */
  async platforms(options: Cancelable): Promise<readonly string[]> {
    return await daemonPlatforms(this.#control, options);
  }

  /** Removes what the daemon's cache has too much. Says how many bytes went. */
  async prune(bounds: PruneBounds, options: Cancelable): Promise<number> {
    return await pruneCache(this.#control, bounds, options);
  }

  /**
   * Builds an image; its blobs are in the landing layout when it returns, untagged. Throws BUILD_STEP_FAILED,
   * DOCKERFILE_INVALID, DOCKERFILE_NOT_FOUND, CONTEXT_NOT_FOUND, CONTEXT_PATH_OUTSIDE, CONTEXT_CHANGED, LIMIT_EXCEEDED,
   * BUILD_SOURCE_FAILED, SECRET_NOT_FOUND, BUILDKIT_UNAVAILABLE, BUILDKIT_SESSION_LOST, BUILD_FAILED.
   */
  async build(request: BuildRequest, options: BuildOptions): Promise<BuildkitResult> {
    const { have = () => false, landing, onEvent = () => undefined, paths = LANDING_PATHS, signal } = options;
    const { contentDir, log } = this.#options;
    const progress = new BuildProgress(onEvent);
    await using caches = await LocalCaches.open(request, { signal });
    const common = { reader: this.#reader, log, signal };
    const lander = new Lander({ ...common, landing, contentDir, paths, have, listener: onEvent });
    // A cache belongs to its directory, which outlives the daemon: it gets copies, and no second names of the daemon's files.
    const cacheLanders = [...caches.writable].map(([id, layout]) => {
      const ways = { contentDir: undefined, paths: CACHE_PATHS, have: () => false, listener: () => undefined };
      return [id, new Lander({ ...common, landing: layout, ...ways })] as const;
    });
    const handlers = [
      contentHandlers(new Map([[EXPORT_STORE, lander], ...cacheLanders])),
      contentReadHandlers(caches.readable),
    ];
    const { cacheFrom, cacheTo } = caches;
    const asked = { ...request, cacheFrom, cacheTo };
    const exporterResponse = await this.#solve(asked, { handlers, onEvent, progress, signal, stepsOnly: false });
    const descriptor: ExportedDescriptor = exportedDescriptorOf(exporterResponse);
    await caches.finish(exporterResponse, { signal });
    return {
      descriptor,
      exporterResponse,
      blobs: lander.landed,
      baseReferences: progress.baseReferences(),
      ...progress.counts(),
    };
  }

  /** Runs a build's steps into the daemon's cache and exports nothing. Throws what `build` throws. */
  async runSteps(request: BuildRequest, { signal }: Cancelable): Promise<StepCounts> {
    const onEvent = () => undefined;
    const progress = new BuildProgress(onEvent);
    await this.#solve(request, { handlers: [], onEvent, progress, signal, stepsOnly: true });
    return progress.counts();
  }

  /** What the Dockerfile frontend has against the Dockerfile; no step runs. Throws DOCKERFILE_INVALID and what `build` throws. */
  async lint(request: BuildRequest, { signal }: Cancelable): Promise<readonly LintWarning[]> {
    const warnings = new Map<string, LintWarning>();
    const onEvent: BuildListener = (event) => {
      if (event.type === 'warning') warnings.set(event.text, { text: event.text, url: event.url });
    };
    const progress = new BuildProgress(onEvent);
    const subrequest = 'frontend.outline';
    await this.#solve(request, { handlers: [], onEvent, progress, signal, stepsOnly: true, subrequest });
    return [...warnings.values()];
  }

  async #solve(
    request: BuildRequest,
    { handlers, onEvent, progress, signal, stepsOnly, subrequest }: SolveParts,
  ): Promise<Readonly<Record<string, string>>> {
    signal.throwIfAborted();
    const { log } = this.#options;
    const inputs = await resolveInputs(request);
    let failed: WorkerError | undefined;
    const onFailure = (thrown: unknown, method: string) => {
      failed ??= toWorkerError(thrown, `answer ${method}`);
      log.debug({ method, code: failed.code, reason: failed.message }, 'session call failed');
    };
    const fileSync = fileSyncHandlers({
      sources: inputs.sources,
      limits: { ...DEFAULT_CONTEXT_LIMITS, ...request.limits },
      onSynced: (report) => {
        onEvent({ type: 'context-synced', ...report });
      },
    });
    const all = handlersOf(request, [fileSync, ...handlers]);
    await using session = new Session(this.#control, { handlers: all, sharedKey: inputs.sharedKey, onFailure });
    return await solve(request, {
      control: this.#control,
      session,
      progress,
      dockerfileName: inputs.dockerfileName,
      stepsOnly,
      subrequest,
      handlerFailure: () => failed,
      log,
      signal,
    });
  }
}

/** What a solve needs beside the request. */
interface SolveParts extends Cancelable {
  readonly handlers: readonly ReadonlyMap<string, RpcHandler>[];
  readonly onEvent: BuildListener;
  readonly progress: BuildProgress;
  readonly stepsOnly: boolean;
  readonly subrequest?: Subrequest;
}

function handlersOf(
  request: BuildRequest,
  own: readonly ReadonlyMap<string, RpcHandler>[],
): ReadonlyMap<string, RpcHandler> {
  const { logins, secrets = {}, ssh = {} } = request;
  const optional = [
    ...(logins === undefined ? [] : [authHandlers(logins)]),
    ...(Object.keys(ssh).length === 0 ? [] : [sshHandlers(new Map(Object.entries(ssh)))]),
  ];
  const all = [healthHandlers(), secretHandlers(new Map(Object.entries(secrets))), ...own, ...optional];
  return new Map(all.flatMap((handlers) => [...handlers]));
}
