import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { connectBuildkit } from '../buildkit/index.ts';
import { openQueue } from '../queue/index.ts';
import { loadCredentials } from '../registry/index.ts';
import type { RunningServer } from '../service/index.ts';
import {
  AttemptTrace,
  bytesOf,
  createArchives,
  createBuilds,
  DEFAULT_POLICY,
  intakeLimits,
  keepUp,
  openScratch,
  openSealer,
  parsePolicy,
  prepareBuild,
  queueSettings,
  readDisk,
  recordPublished,
  requireRoom,
  runJob,
  runSettings,
  TraceSender,
  WarmLayers,
  type WorkerConfig,
  WorkerLoop,
  WorkerMetrics,
} from '../worker/index.ts';
import type { CommandContext } from './context.ts';
import { loginsOf } from './logins.ts';
import { parseRegistryTarget } from './parse-options.ts';
import { objectStore, packCacheSettings, registryClient } from './services.ts';
import { openEdge } from './worker-edge.ts';

/** As they stand on the command line. */
export interface WorkerFlags {
  readonly config?: string;
  readonly listen?: string;
  readonly queue?: string;
  readonly store?: string;
  readonly registry?: string;
  readonly plainHttp?: boolean;
  readonly buildkit?: string;
  readonly packCacheStore?: string;
  readonly concurrency?: string;
  readonly drainBudget?: string;
  readonly metrics?: string;
  readonly workerId?: string;
}

export interface WorkerParts extends AsyncDisposable {
  readonly loop: WorkerLoop;
  readonly metrics: WorkerMetrics;
  readonly edge: RunningServer;
}

const MAX_WORKER_ID = 100;

/** Everything a worker is made of, connected; nothing is taken yet. Throws what cannot be reached or used. */
export async function openWorker(
  config: WorkerConfig,
  flags: WorkerFlags,
  context: CommandContext,
): Promise<WorkerParts> {
  const { env, settings, tools } = context;
  const { stateDir } = settings;
  const stack = new AsyncDisposableStack();
  try {
    const workerId = (flags.workerId ?? `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`).slice(
      0,
      MAX_WORKER_ID,
    );
    const log = context.log.child({ workerId });
    // What was opened is closed in order when the worker has drained, however it was told to.
    const { signal } = new AbortController();
    const now = () => Date.now();
    const target = parseRegistryTarget(flags.registry ?? settings.registry);
    const policy = config.policy === undefined ? DEFAULT_POLICY : parsePolicy(config.policy);
    const store = stack.use(objectStore(context, flags.store));
    await store.check({ signal });
    const packCache = stack.use(packCacheSettings(context, flags.packCacheStore));
    const queue = stack.use(await openQueue(flags.queue ?? settings.queue, queueSettings(config, now)));
    const address = flags.buildkit ?? settings.buildkitAddress;
    // The configured content directory belongs to the configured daemon.
    const contentDir = address === settings.buildkitAddress ? settings.buildkitContentDir : undefined;
    const buildkit = stack.use(
      await connectBuildkit({ address, log, signal, ...(contentDir !== undefined && { contentDir }) }),
    );
    const client = await registryClient(context, flags);
    const scratch = stack.use(await openScratch(stateDir, workerId, { client, signal }));
    if (scratch.reaped > 0) log.info({ reaped: scratch.reaped }, 'files of dead workers are gone');
    const key = env['CLIPYARD_SECRET_KEY'];
    const sealer = await openSealer({ stateDir, ...(key !== undefined && key !== '' && { key }) }, { signal });
    const warm = await WarmLayers.open(join(stateDir, 'warm-layers.json'));
    const metrics = new WorkerMetrics();
    const version = versionOf(context.root);
    const traces = stack.use(new TraceSender({ endpoint: settings.otlpEndpoint, workerId, version, log }));
    const { observer } = metrics;
    const logins = loginsOf(await loadCredentials(env));
    const services = {
      ...{ buildkit, client, store, tools, stateDir, packCache, log },
      limits: settings.limits,
      jobs: availableParallelism(),
      now: () => performance.now(),
    };
    const watermarkBytes = bytesOf(config.disk.keepFree);
    const room = async () => {
      requireRoom(await readDisk(stateDir), watermarkBytes);
    };
    const prepared = { store, sealer, policy, limits: intakeLimits(config), target, logins, env };
    const loop = new WorkerLoop({
      queue,
      workerId,
      version,
      slots: config.concurrency,
      run: async (lease, { handBack }) => {
        const startedMs = performance.now();
        const scratchDir = join(scratch.directory, `job-${lease.job.jobId}`);
        const trace = new AttemptTrace(lease.job, now);
        const end = await runJob(lease, {
          ...runSettings(config),
          services,
          scratchDir: scratch.directory,
          prepare: (job, options) => prepareBuild(job, { ...prepared, ...options, scratchDir }),
          handBack,
          remember: (result, options) => recordPublished(lease.job, result, { store, now, ...options }),
          observer: {
            onEvent: (event) => {
              observer.onEvent(event);
              trace.see(event);
            },
            onFailure: (error) => {
              observer.onFailure(error);
              trace.fail(error);
            },
            onResult: (result) => {
              observer.onResult(result);
              warm.used(result, { signal }).catch((thrown: unknown) => {
                log.warn({ reason: String(thrown) }, 'warm layers could not be remembered');
              });
            },
          },
          log,
          now,
          random: Math.random,
        });
        traces.send(trace.end(end));
        metrics.attemptEnded(end, (performance.now() - startedMs) / 1000);
        return end;
      },
      disk: () => readDisk(stateDir),
      watermarkBytes,
      platforms: (options) => buildkit.platforms(options),
      baseLayers: () => warm.digests,
      upkeep: (options) =>
        keepUp(
          {
            ...{ stateDir, queue, buildkit, client, store, log, now },
            keepUploadsMs: prepared.limits.keepUploadsMs,
            landingBytes: bytesOf(config.disk.landings),
            buildkitKeepBytes: config.buildkit.keepBytes === undefined ? undefined : bytesOf(config.buildkit.keepBytes),
            buildkitKeepMs: config.buildkit.keepSeconds * 1000,
            keepBuildsMs: config.queue.keepDays * 86_400_000,
            onPruned: (bytes) => {
              metrics.pruned(bytes);
            },
          },
          options,
        ),
      drainBudgetMs: config.drainBudgetSeconds * 1000,
      heartbeatMs: config.heartbeatSeconds * 1000,
      upkeepMs: config.upkeepSeconds * 1000,
      log,
      now,
    });
    metrics.watch({ status: () => loop.status(), depth: () => queue.depth({ signal }) });
    const builds = createBuilds({
      ...{ queue, store, client, sealer, policy, target, log, env, now },
      limits: prepared.limits,
      requireRoom: room,
      scratchDir: join(scratch.directory, 'intake'),
      timeoutMs: Number.POSITIVE_INFINITY,
    });
    const report = () => undefined;
    const archives = createArchives({
      ...services,
      policy,
      target,
      requireRoom: room,
      scratchDir: join(scratch.directory, 'index'),
      report,
      now,
    });
    const edge = stack.use(
      await openEdge({
        listen: flags.listen ?? settings.server,
        defaultWorkspace: settings.workspace,
        ...{ config, builds, archives, control: loop, metrics, log },
      }),
    );
    return { loop, metrics, edge, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (thrown) {
    await stack.disposeAsync();
    throw thrown;
  }
}

function versionOf(root: string): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version;
}
