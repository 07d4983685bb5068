import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BuildQueue, type BuildRecord, isEnd, openQueue, type StoredEvent } from '../../src/queue/index.ts';
import { serviceSetting } from './services.ts';
import type { TestSpec, WorkerProgramOptions } from './worker-program.ts';

export interface WorkerProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  sawLine(pattern: RegExp): Promise<void>;
  /** The exit code, undefined after a signal. */
  readonly ended: Promise<number | undefined>;
}

const PATIENCE_MS = 90_000;

/** A worker of `worker-program.ts`, killed when it is disposed. */
export async function startWorker(
  given: Pick<WorkerProgramOptions, 'workerId' | 'queue' | 'stateDir'> & Partial<WorkerProgramOptions>,
): Promise<WorkerProcess> {
  const options: WorkerProgramOptions = {
    registry: serviceSetting('CLIPYARD_REGISTRY'),
    store: serviceSetting('CLIPYARD_STORE'),
    buildkit: serviceSetting('CLIPYARD_BUILDKIT'),
    contentDir: serviceSetting('CLIPYARD_BUILDKIT_CONTENT'),
    ...given,
  };
  const program = join(import.meta.dirname, 'worker-program.ts');
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const ended = once(child, 'close').then(([code]) => (typeof code === 'number' ? code : undefined));
  const worker: WorkerProcess = {
    child,
    lines,
    ended,
    sawLine: async (pattern) => {
      const end = Date.now() + PATIENCE_MS;
      while (!lines.some((line) => pattern.test(line))) {
        const isGone = child.exitCode !== null || child.signalCode !== null;
        if (isGone || Date.now() > end)
          throw new Error(`no line matched ${String(pattern)}:\n${lines.slice(-20).join('\n')}`);
        await sleep(20);
      }
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
  await worker.sawLine(/^started$|^fault/);
  return worker;
}

/** The queue as a client sees it. */
export async function clientQueue(address: string): Promise<BuildQueue> {
  return await openQueue(address, {
    leaseMs: 2000,
    maxAttempts: 10,
    weights: new Map(),
    maxRunningPerWorkspace: 8,
    warmWaitMs: 0,
    now: () => Date.now(),
  });
}

export async function submitTestJob(
  queue: BuildQueue,
  job: { readonly workspaceId: string; readonly imageId: string; readonly spec: TestSpec },
): Promise<BuildRecord> {
  const { record } = await queue.submit(
    {
      ...job,
      spec: { ...job.spec },
      key: `${job.imageId}-${Math.random()}`,
      idempotencyKey: undefined,
      priority: 5,
      deadlineMs: undefined,
      platforms: [],
      baseLayers: [],
    },
    { signal: AbortSignal.timeout(PATIENCE_MS) },
  );
  return record;
}

/** The build once it has ended, with everything that was told of it. */
export async function waitForEnd(
  queue: BuildQueue,
  { buildId, workspaceId }: BuildRecord,
): Promise<{ readonly record: BuildRecord; readonly events: readonly StoredEvent[] }> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const events: StoredEvent[] = [];
  for await (const event of queue.watch(workspaceId, buildId, { after: 0, signal })) events.push(event);
  const record = await queue.get(workspaceId, buildId, { signal });
  if (record === undefined || !isEnd(record.state)) throw new Error(`the build is ${String(record?.state)}`);
  return { record, events };
}
