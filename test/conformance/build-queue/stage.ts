import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, test } from 'vitest';
import type {
  BuildQueue,
  BuildRecord,
  Lease,
  NewEvent,
  QueueSettings,
  StoredEvent,
  StoredFailure,
} from '../../../src/queue/index.ts';
import { Clock, queueSettings, worker } from '../../support/queue/submissions.ts';

export const { signal } = new AbortController();
export const options = { signal };

/** A place where queues share their builds: a file, a database of a server. */
export interface QueuePlace extends AsyncDisposable {
  open(settings: QueueSettings): Promise<BuildQueue>;
}

/** What the tests of a queue stand on: a new place each, and all that was opened there closed behind it. */
export interface QueueStage {
  readonly clock: Clock;
  /** A test in an empty place. */
  readonly fresh: (title: string, body: () => Promise<void>) => void;
  readonly where: () => QueuePlace;
  /** Closes it behind the test. */
  readonly keep: <T extends AsyncDisposable>(it: T) => T;
  readonly open: (given?: Partial<QueueSettings>) => Promise<BuildQueue>;
  readonly taken: (queue: BuildQueue, workerId?: string) => Promise<Lease>;
  /** Takes everything there is, in order: image ids. */
  readonly drained: (queue: BuildQueue, atMost?: number) => Promise<readonly string[]>;
  readonly state: (queue: BuildQueue, build: BuildRecord) => Promise<BuildRecord['state'] | undefined>;
}

/** To be called in a `describe`: it registers what is to be closed behind each test. */
export function queueStage(place: () => Promise<QueuePlace>): QueueStage {
  const clock = new Clock();
  let where: QueuePlace;
  const opened: AsyncDisposable[] = [];
  const keep = <T extends AsyncDisposable>(it: T): T => {
    opened.push(it);
    return it;
  };
  afterEach(async () => {
    for (const it of opened.splice(0).toReversed()) await it[Symbol.asyncDispose]();
    await where[Symbol.asyncDispose]();
  });
  return {
    clock,
    keep,
    where: () => where,
    fresh: (title, body) => {
      test(title, { timeout: 60_000 }, async () => {
        where = await place();
        await body();
      });
    },
    open: async (given = {}) => keep(await where.open(queueSettings(clock, given))),
    taken: async (queue, workerId = 'w') => {
      const lease = await queue.take(worker(workerId), options);
      if (lease === undefined) throw new Error('there was nothing to take');
      return keep(lease);
    },
    drained: async (queue, atMost = Number.POSITIVE_INFINITY) => {
      const jobs: string[] = [];
      while (jobs.length < atMost) {
        const lease = await queue.take(worker('w'), options);
        if (lease === undefined) break;
        jobs.push(lease.job.imageId);
        await lease.end({ state: 'done', result: null });
        await lease[Symbol.asyncDispose]();
      }
      return jobs;
    },
    state: async (queue, { workspaceId, buildId }) => (await queue.get(workspaceId, buildId, options))?.state,
  };
}

export const log = (text: string): NewEvent => ({
  timeMs: 1,
  phase: 'building',
  bytes: 0,
  kind: 'log',
  what: { text },
});
export const phase = (name: NewEvent['phase']): NewEvent => ({
  timeMs: 2,
  phase: name,
  bytes: 7,
  kind: 'state',
  what: { state: name },
});
export const failure: StoredFailure = {
  code: 'REGISTRY_THROTTLED',
  message: 'PUT: 429',
  phase: 'pushing',
  retryable: true,
  details: { delayMs: 10 },
};

export async function watched(
  queue: BuildQueue,
  { workspaceId, buildId }: BuildRecord,
  after = 0,
  skipLogs = false,
): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  const timeout = AbortSignal.timeout(30_000);
  for await (const event of queue.watch(workspaceId, buildId, { after, skipLogs, signal: timeout })) events.push(event);
  return events;
}

/** The reason with which a lease's signal is aborted. */
export async function aborted(lease: Lease): Promise<unknown> {
  while (!lease.signal.aborted) await sleep(5);
  return lease.signal.reason as unknown;
}
