// A worker as a process of its own for tests of crashes: the real queue, loop and pipeline; jobs name a folder as context.
// Faults are this program's alone: it kills or stops itself at a step that was asked for.
import { join } from 'node:path';
import { parseImageId, parseWorkspaceId } from '../../src/archive/index.ts';
import { connectBuildkit } from '../../src/buildkit/index.ts';
import { DEFAULT_LIMITS } from '../../src/config/index.ts';
import type { BuildContext } from '../../src/jobs/index.ts';
import { nativeToolPaths } from '../../src/native/index.ts';
import { openStore } from '../../src/objects/index.ts';
import { type Lease, openQueue } from '../../src/queue/index.ts';
import { createRegistryClient, NO_CREDENTIALS, type RegistryClient } from '../../src/registry/index.ts';
import { createLog } from '../../src/telemetry/index.ts';
import { openScratch, readDisk, runJob, WorkerLoop } from '../../src/worker/index.ts';

export interface WorkerProgramOptions {
  readonly workerId: string;
  readonly queue: string;
  readonly stateDir: string;
  /** `host:port` */
  readonly registry: string;
  readonly store: string;
  readonly buildkit: string;
  readonly contentDir?: string;
  readonly slots?: number;
  readonly leaseMs?: number;
  readonly drainBudgetMs?: number;
  readonly maxLogBytes?: number;
  readonly buildingMs?: number;
  readonly imageBytes?: number;
  /** `before staged`, `after pointed`, `before tag`: once, the process ends or stops there. */
  readonly fault?: { readonly at: string; readonly signal: 'SIGKILL' | 'SIGSTOP' };
}

/** What a job of this program holds. */
export interface TestSpec {
  readonly contextDir: string;
  readonly repository: string;
  readonly noCache?: boolean;
}

const options = JSON.parse(process.argv[2] ?? '{}') as WorkerProgramOptions;
const { fault, stateDir, workerId } = options;
let isSpent = false;

function reach(place: string): void {
  if (fault?.at !== place || isSpent) return;
  isSpent = true;
  process.stderr.write(`fault: ${place}\n`);
  process.kill(process.pid, fault.signal);
}

function faultyLease(lease: Lease): Lease {
  return new Proxy(lease, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'checkpoint')
        return async (...args: Parameters<Lease['checkpoint']>) => {
          reach(`before ${args[0]}`);
          await target.checkpoint(...args);
          reach(`after ${args[0]}`);
        };
      if (name === 'end')
        return async (...args: Parameters<Lease['end']>) => {
          reach('before end');
          await target.end(...args);
          reach('after end');
        };
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function faultyClient(client: RegistryClient): RegistryClient {
  return new Proxy(client, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'putManifest')
        return async (...args: Parameters<RegistryClient['putManifest']>) => {
          if (!args[1].startsWith('sha256:')) reach('before tag');
          return await target.putManifest(...args);
        };
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const forever = new AbortController().signal;
const log = createLog({ level: 'info' });
const now = () => Date.now();
await using queue = await openQueue(options.queue, {
  leaseMs: options.leaseMs ?? 2000,
  maxAttempts: 10,
  weights: new Map(),
  maxRunningPerWorkspace: 8,
  warmWaitMs: 0,
  now,
});
await using store = openStore(options.store, process.env);
const client = faultyClient(createRegistryClient({ credentials: NO_CREDENTIALS, plainHttp: false, log }));
const { contentDir } = options;
await using buildkit = await connectBuildkit({
  address: options.buildkit,
  log,
  signal: forever,
  ...(contentDir !== undefined && { contentDir }),
});
await using scratch = await openScratch(stateDir, workerId, { client, signal: forever });
const services: Omit<BuildContext, 'signal' | 'report' | 'journal'> = {
  buildkit,
  client,
  store,
  tools: nativeToolPaths(process.env, join(import.meta.dirname, '../..')),
  stateDir,
  packCache: { maxBytes: 1e9, shared: undefined },
  limits: DEFAULT_LIMITS,
  jobs: 1,
  log,
  now: () => performance.now(),
};

const loop = new WorkerLoop({
  queue,
  workerId,
  version: 'test',
  slots: options.slots ?? 1,
  run: (lease, { handBack }) =>
    runJob(faultyLease(lease), {
      services,
      prepare: ({ imageId, spec, workspaceId }) => {
        const { contextDir, noCache = false, repository } = spec as unknown as TestSpec;
        return Promise.resolve({
          image: {
            workspaceId: parseWorkspaceId(workspaceId),
            imageId: parseImageId(imageId),
            target: { registry: options.registry, repository },
            build: { contextDir, noCache },
            compression: { codec: 'zstd', level: 1, chunkBytes: 256 * 1024 },
            useCache: true,
            layoutDir: undefined,
            archiveFormat: 'clipyard',
            alsoAs: undefined,
            indexFrom: 'layout',
          },
          [Symbol.asyncDispose]: () => Promise.resolve(),
        });
      },
      scratchDir: scratch.directory,
      limits: {
        buildMs: undefined,
        phaseMs: options.buildingMs === undefined ? {} : { building: options.buildingMs },
        imageBytes: options.imageBytes,
        layers: undefined,
      },
      logLimits: { maxBytes: options.maxLogBytes ?? 1e8, maxLiveBytes: 1e6, chunkBytes: 64 * 1024 },
      retry: { maxAttempts: 5, maxDelayMs: 1000 },
      handBack,
      observer: {},
      log,
      now,
      random: Math.random,
    }),
  disk: () => readDisk(stateDir),
  watermarkBytes: 0,
  platforms: (wanted) => buildkit.platforms(wanted),
  baseLayers: () => [],
  upkeep: () => Promise.resolve(),
  drainBudgetMs: options.drainBudgetMs ?? 60_000,
  heartbeatMs: 300,
  upkeepMs: 60_000,
  log,
  now,
});
process.once('SIGTERM', () => void loop.drain(undefined, { signal: forever }));
await loop.start();
process.stderr.write('started\n');
const { handedBack } = await loop.done;
process.exitCode = handedBack > 0 ? 3 : 0;
