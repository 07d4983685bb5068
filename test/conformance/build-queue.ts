import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type {
  BuildQueue,
  BuildRecord,
  Lease,
  NewEvent,
  QueueSettings,
  StoredEvent,
  StoredFailure,
} from '../../src/queue/index.ts';
import { Clock, queueSettings, submission, worker } from '../support/queue/submissions.ts';

const signal = new AbortController().signal;
const options = { signal };

/** A place where queues share their builds: a file, a database of a server. */
export interface QueuePlace extends AsyncDisposable {
  open(settings: QueueSettings): Promise<BuildQueue>;
}

const log = (text: string): NewEvent => ({ timeMs: 1, phase: 'building', bytes: 0, kind: 'log', what: { text } });
const phase = (name: NewEvent['phase']): NewEvent => ({
  timeMs: 2,
  phase: name,
  bytes: 7,
  kind: 'state',
  what: { state: name },
});
const failure: StoredFailure = {
  code: 'REGISTRY_THROTTLED',
  message: 'PUT: 429',
  phase: 'pushing',
  retryable: true,
  details: { delayMs: 10 },
};

async function watched(queue: BuildQueue, { workspaceId, buildId }: BuildRecord, after = 0, skipLogs = false) {
  const events: StoredEvent[] = [];
  const timeout = AbortSignal.timeout(30_000);
  for await (const event of queue.watch(workspaceId, buildId, { after, skipLogs, signal: timeout })) events.push(event);
  return events;
}

const aborted = async (lease: Lease): Promise<unknown> => {
  while (!lease.signal.aborted) await sleep(5);
  return lease.signal.reason as unknown;
};

/** What every queue promises. `place` gives an empty one that nobody else uses. */
export function describeBuildQueue(name: string, place: () => Promise<QueuePlace>): void {
  describe(`a build queue (${name})`, () => {
    let where: QueuePlace;
    let clock: Clock;
    const opened: AsyncDisposable[] = [];
    const keep = <T extends AsyncDisposable>(it: T): T => {
      opened.push(it);
      return it;
    };
    const open = async (given: Partial<QueueSettings> = {}) => keep(await where.open(queueSettings(clock, given)));
    const taken = async (queue: BuildQueue, workerId = 'w') => {
      const lease = await queue.take(worker(workerId), options);
      if (lease === undefined) throw new Error('there was nothing to take');
      return keep(lease);
    };
    /** Takes everything there is, in order. */
    const drained = async (queue: BuildQueue, atMost = Number.POSITIVE_INFINITY) => {
      const jobs: string[] = [];
      while (jobs.length < atMost) {
        const lease = await queue.take(worker('w'), options);
        if (lease === undefined) break;
        jobs.push(lease.job.imageId);
        await lease.end({ state: 'done', result: null });
        await lease[Symbol.asyncDispose]();
      }
      return jobs;
    };
    const state = async (queue: BuildQueue, { workspaceId, buildId }: BuildRecord) =>
      (await queue.get(workspaceId, buildId, options))?.state;

    beforeAll(() => {
      clock = new Clock();
    });
    afterEach(async () => {
      for (const it of opened.splice(0).toReversed()) await it[Symbol.asyncDispose]();
      await where[Symbol.asyncDispose]();
    });
    const fresh = (title: string, body: () => Promise<void>) => {
      test(title, { timeout: 60_000 }, async () => {
        where = await place();
        await body();
      });
    };

    describe('submit', () => {
      fresh('queues a build and shows it to its workspace only', async () => {
        const queue = await open();
        const { record, how } = await queue.submit(submission('a', { imageId: 'app', priority: 7 }), options);
        expect(how).toBe('queued');
        expect(record).toMatchObject({ workspaceId: 'a', imageId: 'app', state: 'queued', priority: 7, sharedBy: 1 });
        expect(record).toMatchObject({ submittedAtMs: clock.now(), attempt: 0, startedAtMs: undefined });
        expect(await queue.get('a', record.buildId, options)).toEqual(record);
        expect(await queue.get('b', record.buildId, options)).toBeUndefined();
        expect(await queue.position('b', record.buildId, options)).toBeUndefined();
        expect(await queue.cancel('b', record.buildId, 'mine now', options)).toBeUndefined();
        await expect(watched(queue, { ...record, workspaceId: 'b' })).rejects.toMatchObject({
          code: 'BUILD_NOT_FOUND',
        });
        expect(await state(queue, record)).toBe('queued');
      });

      fresh('gives the first build again for an idempotency key of the workspace, even when it has ended', async () => {
        const queue = await open();
        const first = await queue.submit(submission('a', { idempotencyKey: 'once' }), options);
        const again = await queue.submit(submission('a', { idempotencyKey: 'once' }), options);
        expect(again).toEqual({ record: first.record, how: 'repeated' });
        expect(await queue.submittedWith('a', 'once', options)).toEqual(first.record);
        expect(await queue.submittedWith('b', 'once', options)).toBeUndefined();
        expect((await queue.submit(submission('b', { idempotencyKey: 'once' }), options)).how).toBe('queued');
        await (await taken(queue)).end({ state: 'done', result: 1 });
        const late = await queue.submit(submission('a', { idempotencyKey: 'once' }), options);
        expect(late).toMatchObject({ how: 'repeated', record: { buildId: first.record.buildId, state: 'done' } });
      });

      fresh('shares the job of an equal build in flight, never across workspaces, never after its end', async () => {
        const queue = await open();
        const first = await queue.submit(submission('a', { key: 'same', priority: 2 }), options);
        const second = await queue.submit(submission('a', { key: 'same', imageId: 'other', priority: 8 }), options);
        expect(second).toMatchObject({ how: 'shared', record: { jobId: first.record.jobId, sharedBy: 2 } });
        expect(second.record.buildId).not.toBe(first.record.buildId);
        const foreign = await queue.submit(submission('b', { key: 'same' }), options);
        expect(foreign.how).toBe('queued');
        expect(foreign.record.jobId).not.toBe(first.record.jobId);
        const lease = await taken(queue);
        expect(lease.job).toMatchObject({ jobId: first.record.jobId, priority: 8 });
        expect((await queue.submit(submission('a', { key: 'same' }), options)).how).toBe('shared');
        await lease.end({ state: 'done', result: { digest: 'sha256:1' } });
        for (const { record } of [first, second])
          expect(await queue.get('a', record.buildId, options)).toMatchObject({
            state: 'done',
            result: { digest: 'sha256:1' },
          });
        expect((await queue.submit(submission('a', { key: 'same' }), options)).how).toBe('queued');
      });

      fresh('makes one job and one build a key of equal submissions that come at once to several queues', async () => {
        const queues = [await open(), await open(), await open()];
        const racing = Array.from({ length: 12 }, (_, at) =>
          queues[at % 3]!.submit(submission('a', { key: 'same', idempotencyKey: `i${at % 4}` }), options),
        );
        const results = await Promise.all(racing);
        expect(new Set(results.map(({ record }) => record.jobId)).size).toBe(1);
        expect(new Set(results.map(({ record }) => record.buildId)).size).toBe(4);
        expect(results.filter(({ how }) => how === 'queued')).toHaveLength(1);
        expect(results.filter(({ how }) => how === 'shared')).toHaveLength(3);
        expect((await queues[0]!.depth(options)).queued).toBe(1);
      });
    });

    describe('cancel', () => {
      fresh('takes a queued build out of the queue, and its events end with that', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        const canceled = await queue.cancel('a', record.buildId, 'changed my mind', options);
        expect(canceled).toMatchObject({ state: 'canceled', endedAtMs: clock.now() });
        expect(await queue.take(worker('w'), options)).toBeUndefined();
        const events = await watched(queue, record);
        expect(events.at(-1)).toMatchObject({ phase: 'canceled', kind: 'state', what: { reason: 'changed my mind' } });
        expect(events.map(({ cursor }) => cursor)).toEqual([1, 2]);
        expect(await queue.cancel('a', record.buildId, 'again', options)).toEqual(canceled);
      });

      fresh(
        'aborts the lease of a running build from another queue, and a new equal build has a job of its own',
        async () => {
          const [mine, other] = [await open(), await open()];
          const { record } = await mine.submit(submission('a', { key: 'same' }), options);
          const lease = await taken(mine);
          expect(await other.cancel('a', record.buildId, 'stop', options)).toMatchObject({ state: 'canceled' });
          expect(await aborted(lease)).toMatchObject({ code: 'BUILD_CANCELED' });
          expect((await other.submit(submission('a', { key: 'same' }), options)).how).toBe('queued');
          await lease.tell([log('cleaning up')]);
          await lease.endCanceled();
          expect(await state(other, record)).toBe('canceled');
          expect((await watched(other, record)).at(-1)).toMatchObject({ phase: 'canceled' });
          expect((await mine.depth(options)).running).toBe(0);
          await expect(lease.tell([log('more')])).rejects.toMatchObject({ code: 'LEASE_LOST' });
        },
      );

      fresh('by one of three goes on for the others, until all have canceled', async () => {
        const queue = await open();
        const builds: BuildRecord[] = [];
        for (let at = 0; at < 3; at += 1)
          builds.push((await queue.submit(submission('a', { key: 'same' }), options)).record);
        const [one, two, three] = builds as [BuildRecord, BuildRecord, BuildRecord];
        const lease = await taken(queue);
        await lease.tell([log('before')]);
        const watching = watched(queue, one);
        await queue.cancel('a', one.buildId, 'enough', options);
        await lease.tell([log('after')]);
        const events = await watching;
        expect(events.map(({ cursor }) => cursor)).toEqual([1, 2, 3]);
        expect(events.at(-1)).toMatchObject({ phase: 'canceled', what: { reason: 'enough' } });
        expect(await watched(queue, one, 2)).toEqual(events.slice(2));
        expect(await queue.get('a', two.buildId, options)).toMatchObject({ state: 'preparing', sharedBy: 2 });
        expect(lease.signal.aborted).toBe(false);
        await queue.cancel('a', two.buildId, 'enough', options);
        expect(lease.signal.aborted).toBe(false);
        await queue.cancel('a', three.buildId, 'enough', options);
        expect(await aborted(lease)).toMatchObject({ code: 'BUILD_CANCELED' });
        await lease.endCanceled();
        for (const build of builds) expect(await state(queue, build)).toBe('canceled');
      });

      fresh('leaves a build that has ended as it is', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        await (await taken(queue)).end({ state: 'failed', failure });
        const ended = await queue.get('a', record.buildId, options);
        expect(ended).toMatchObject({ state: 'failed', failure });
        expect(await queue.cancel('a', record.buildId, 'late', options)).toEqual(ended);
      });

      fresh('of a job whose worker fell silent ends it instead of giving it to the next', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        await taken(queue);
        await queue.cancel('a', record.buildId, 'stop', options);
        clock.advance(31_000);
        expect(await queue.take(worker('other'), options)).toBeUndefined();
        expect(await queue.depth(options)).toMatchObject({ running: 0, queued: 0, dead: 0 });
      });
    });

    describe('list', () => {
      fresh('gives pages of the workspace, newest first, without gaps when builds come meanwhile', async () => {
        const queue = await open();
        const ids: string[] = [];
        for (let at = 0; at < 7; at += 1)
          ids.unshift(
            (await queue.submit(submission('a', { imageId: at % 2 ? 'odd' : 'even' }), options)).record.buildId,
          );
        await queue.submit(submission('b'), options);
        const found: string[] = [];
        let page: string | undefined;
        do {
          const { records, next } = await queue.list(
            'a',
            { limit: 3, ...(page === undefined ? {} : { page }) },
            options,
          );
          found.push(...records.map(({ buildId }) => buildId));
          page = next;
          await queue.submit(submission('a', { imageId: 'new' }), options);
        } while (page !== undefined);
        expect(found).toEqual(ids);
        const odd = await queue.list('a', { imageId: 'odd', limit: 10 }, options);
        expect(odd.records.map(({ buildId }) => buildId)).toEqual(ids.filter((_, at) => at % 2 === 1));
        expect(odd.next).toBeUndefined();
        expect((await queue.list('nobody', { limit: 10 }, options)).records).toEqual([]);
      });

      fresh('filters by state, a canceled build of a shared job too', async () => {
        const queue = await open();
        const canceled = (await queue.submit(submission('a', { key: 'same' }), options)).record;
        const running = (await queue.submit(submission('a', { key: 'same' }), options)).record;
        await queue.cancel('a', canceled.buildId, 'no', options);
        await taken(queue);
        const waiting = (await queue.submit(submission('a'), options)).record;
        const of = async (...states: BuildRecord['state'][]) =>
          (await queue.list('a', { states, limit: 10 }, options)).records.map(({ buildId }) => buildId);
        expect(await of('canceled')).toEqual([canceled.buildId]);
        expect(await of('preparing', 'queued')).toEqual([waiting.buildId, running.buildId]);
        expect(await of('failed')).toEqual([]);
      });

      fresh('refuses a page that it did not give', async () => {
        const queue = await open();
        for (const page of ['x', '-1', '1e3', '']) {
          const listed = queue.list('a', { limit: 1, page }, options);
          await expect(listed).rejects.toMatchObject({ code: 'USAGE' });
        }
      });
    });

    describe('take', () => {
      fresh('goes by priority within a workspace, then by age', async () => {
        const queue = await open();
        for (const [imageId, priority] of [
          ['low', 1],
          ['old', 5],
          ['new', 5],
          ['high', 9],
        ] as const)
          await queue.submit(submission('a', { imageId, priority }), options);
        expect(await drained(queue)).toEqual(['high', 'old', 'new', 'low']);
      });

      fresh('lets no workspace wait for a flood of 1000 from another', async () => {
        const queue = await open();
        for (let at = 0; at < 1000; at += 1) await queue.submit(submission('flood', { imageId: 'f' }), options);
        await drained(queue, 5);
        const { record } = await queue.submit(submission('small', { imageId: 's1' }), options);
        await queue.submit(submission('small', { imageId: 's2' }), options);
        expect(await queue.position('small', record.buildId, options)).toBeLessThanOrEqual(1);
        const next = await drained(queue, 4);
        expect(next.toSorted()).toEqual(['f', 'f', 's1', 's2']);
      });

      fresh('gives turns by weight', async () => {
        const queue = await open({ weights: new Map([['heavy', 3]]) });
        for (let at = 0; at < 60; at += 1) {
          await queue.submit(submission('heavy', { imageId: 'h' }), options);
          await queue.submit(submission('light', { imageId: 'l' }), options);
        }
        const order = await drained(queue, 40);
        for (let end = 4; end <= 40; end += 4) {
          const heavy = order.slice(0, end).filter((it) => it === 'h').length;
          expect(Math.abs(heavy - (end * 3) / 4), `after ${end}: ${order.join('')}`).toBeLessThanOrEqual(1);
        }
      });

      fresh('gives who was idle no credit for the past', async () => {
        const queue = await open();
        for (let at = 0; at < 40; at += 1) await queue.submit(submission('busy', { imageId: 'b' }), options);
        await queue.submit(submission('idle', { imageId: 'i' }), options);
        await drained(queue, 21);
        for (let at = 0; at < 10; at += 1) await queue.submit(submission('idle', { imageId: 'i' }), options);
        const order = await drained(queue, 10);
        expect(order.filter((it) => it === 'b').length).toBeGreaterThanOrEqual(4);
      });

      fresh('positions are the order in which builds go', async () => {
        const queue = await open({ weights: new Map([['b', 2]]) });
        await queue.submit(submission('b', { imageId: 'first' }), options);
        await drained(queue, 1);
        const records: BuildRecord[] = [];
        for (let at = 0; at < 30; at += 1) {
          const workspaceId = ['a', 'b', 'c'][at % 3]!;
          const it = submission(workspaceId, { imageId: `i${at}`, priority: at % 5 });
          records.push((await queue.submit(it, options)).record);
        }
        const places = new Map<number, string>();
        for (const { workspaceId, buildId, imageId } of records)
          places.set((await queue.position(workspaceId, buildId, options)) ?? -1, imageId);
        const expected = [...places].toSorted(([a], [b]) => a - b);
        expect(expected.map(([at]) => at)).toEqual(records.map((_, at) => at));
        expect(await drained(queue)).toEqual(expected.map(([, imageId]) => imageId));
        expect(await queue.position('a', records[0]!.buildId, options)).toBeUndefined();
      });

      fresh('runs so many of a workspace at once and no more', async () => {
        const [queue, other] = [await open({ maxRunningPerWorkspace: 2 }), await open({ maxRunningPerWorkspace: 2 })];
        for (let at = 0; at < 4; at += 1) await queue.submit(submission('a'), options);
        const first = await taken(queue);
        await taken(other);
        expect(await queue.take(worker('w'), options)).toBeUndefined();
        await queue.submit(submission('b', { imageId: 'other' }), options);
        expect((await taken(queue)).job.imageId).toBe('other');
        await first.end({ state: 'done', result: null });
        expect((await taken(other)).job.workspaceId).toBe('a');
        expect(await queue.take(worker('w'), options)).toBeUndefined();
      });

      fresh('gives a job to who can build its platforms', async () => {
        const queue = await open();
        await queue.submit(submission('a', { imageId: 'arm', platforms: ['linux/amd64', 'linux/arm64'] }), options);
        await queue.submit(submission('a', { imageId: 'amd' }), options);
        expect((await taken(queue)).job.imageId).toBe('amd');
        expect(await queue.take(worker('w'), options)).toBeUndefined();
        const both = worker('both', { platforms: ['linux/arm64', 'linux/amd64'] });
        const lease = await queue.take(both, options);
        expect(lease?.job).toMatchObject({ imageId: 'arm', platforms: ['linux/amd64', 'linux/arm64'] });
        if (lease !== undefined) keep(lease);
      });

      fresh('gives nothing to who drains or has a reason to take nothing', async () => {
        const queue = await open();
        await queue.submit(submission('a'), options);
        expect(await queue.take(worker('w', { draining: true }), options)).toBeUndefined();
        expect(await queue.take(worker('w', { reason: 'the disk is full' }), options)).toBeUndefined();
        await taken(queue);
      });

      fresh('leaves a job for a moment to a free worker that has its base layers', async () => {
        const queue = await open({ warmWaitMs: 1000 });
        const warm = worker('warm', { baseLayers: ['sha256:1', 'sha256:2'] });
        await queue.advertise(warm, options);
        await queue.submit(submission('a', { imageId: 'warm', baseLayers: ['sha256:1'] }), options);
        await queue.submit(submission('a', { imageId: 'cold', baseLayers: ['sha256:9'] }), options);
        expect((await taken(queue, 'cold')).job.imageId).toBe('cold');
        expect(await queue.take(worker('cold'), options)).toBeUndefined();
        clock.advance(1000);
        expect((await taken(queue, 'cold')).job.imageId).toBe('warm');
        await queue.submit(submission('a', { imageId: 'again', baseLayers: ['sha256:2'] }), options);
        expect(await queue.take(worker('cold'), options)).toBeUndefined();
        const lease = await queue.take(warm, options);
        expect(lease?.job.imageId).toBe('again');
        if (lease !== undefined) keep(lease);
      });

      fresh('leaves nothing to a warm worker that is busy, drains, cannot build it or fell silent', async () => {
        const queue = await open({ warmWaitMs: 1000 });
        const baseLayers = ['sha256:1'];
        await queue.advertise(worker('busy', { baseLayers, freeSlots: 0 }), options);
        await queue.advertise(worker('drains', { baseLayers, draining: true }), options);
        await queue.advertise(worker('full', { baseLayers, reason: 'the disk is full' }), options);
        await queue.advertise(worker('arm', { baseLayers, platforms: ['linux/arm64'] }), options);
        await queue.submit(submission('a', { baseLayers }), options);
        await taken(queue, 'cold');
        await queue.advertise(worker('silent', { baseLayers }), options);
        clock.advance(60_000);
        await queue.submit(submission('a', { baseLayers }), options);
        await taken(queue, 'cold');
      });
    });

    describe('waiting for work', () => {
      fresh('ends when a build comes, from this queue or another', async () => {
        const [queue, other] = [await open(), await open()];
        for (const from of [queue, other]) {
          const waiting = queue.waitForWork(30_000, options);
          await from.submit(submission('a'), options);
          await waiting;
          await taken(queue);
        }
      });

      fresh('ends after the time it was given, and with the signal', async () => {
        const queue = await open();
        await queue.waitForWork(20, options);
        const reason = new Error('enough');
        const stop = new AbortController();
        const waiting = queue.waitForWork(30_000, { signal: stop.signal });
        stop.abort(reason);
        await expect(waiting).rejects.toBe(reason);
      });
    });

    describe('a lease', () => {
      fresh('has the job as it was submitted', async () => {
        const queue = await open();
        const given = submission('a', { spec: { deep: [1, { text: 'ä' }, null] }, deadlineMs: clock.now() + 5 });
        const { record } = await queue.submit(given, options);
        const { job } = await taken(queue, 'me');
        const { workspaceId, imageId, spec, key, priority, platforms, deadlineMs } = given;
        expect(job).toEqual({
          ...{ jobId: record.jobId, workspaceId, imageId, spec, key, priority, platforms, deadlineMs },
          ...{ attempt: 1, journal: [] },
        });
        expect(await queue.get('a', record.buildId, options)).toMatchObject({
          ...{ state: 'preparing', attempt: 1, startedAtMs: clock.now(), workerId: 'me' },
        });
      });

      fresh('tells states, of which the last is the state of the build', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        const lease = await taken(queue);
        await lease.tell([phase('preparing'), log('x'), phase('building'), log('y')]);
        expect(await state(queue, record)).toBe('building');
        await lease.tell([log('z')]);
        expect(await state(queue, record)).toBe('building');
        await lease.end({ state: 'done', result: null });
        const events = await watched(queue, record);
        expect(events.map(({ cursor }) => cursor)).toEqual([1, 2, 3, 4, 5, 6, 7]);
        expect(events.slice(1, 6)).toEqual(
          [phase('preparing'), log('x'), phase('building'), log('y'), log('z')].map((event, at) => ({
            ...event,
            ...{ cursor: at + 2, attempt: 1 },
          })),
        );
        expect(events.at(-1)).toMatchObject({ phase: 'done', kind: 'state' });
      });

      fresh('is renewed by itself for as long as it is held', async () => {
        const [queue, other] = [await open({ leaseMs: 90 }), await open({ leaseMs: 90 })];
        await queue.submit(submission('a'), options);
        const lease = await taken(queue);
        for (let at = 0; at < 4; at += 1) {
          await sleep(400);
          clock.advance(60);
          expect(await other.reap(options)).toEqual({ requeued: 0, dead: 0 });
        }
        await lease[Symbol.asyncDispose]();
        clock.advance(91);
        expect(await other.reap(options)).toEqual({ requeued: 1, dead: 0 });
      });

      fresh('that ran out is lost to the next worker, which has the journal, and tells nothing any more', async () => {
        const [paused, other] = [await open(), await open()];
        const { record } = await paused.submit(submission('a'), options);
        const lease = await taken(paused, 'paused');
        await lease.tell([log('kept')]);
        await lease.checkpoint('built', { digest: 'sha256:1' });
        await lease.checkpoint('landed', ['x']);
        clock.advance(30_001);
        const next = await taken(other, 'other');
        expect(next.job).toMatchObject({ jobId: record.jobId, attempt: 2 });
        expect(next.job.journal).toMatchObject([
          { step: 'built', attempt: 1, data: { digest: 'sha256:1' } },
          { step: 'landed', attempt: 1, data: ['x'] },
        ]);
        const lost = { code: 'LEASE_LOST' };
        await expect(lease.tell([log('too late')])).rejects.toMatchObject(lost);
        await expect(lease.checkpoint('late', 1)).rejects.toMatchObject(lost);
        await expect(lease.end({ state: 'done', result: null })).rejects.toMatchObject(lost);
        await expect(lease.endCanceled()).rejects.toMatchObject(lost);
        await expect(lease.retry(failure, 1)).rejects.toMatchObject(lost);
        await expect(lease.handBack()).rejects.toMatchObject(lost);
        expect(await aborted(lease)).toMatchObject(lost);
        await next.tell([log('mine')]);
        await next.end({ state: 'done', result: 2 });
        const events = await watched(paused, record);
        expect(events.map(({ kind, attempt }) => `${kind} ${attempt}`)).toEqual([
          ...['state 0', 'log 1', 'state 1', 'log 2', 'state 2'],
        ]);
        expect(events[2]).toMatchObject({ phase: 'queued', what: { workerId: 'paused' } });
        expect(await paused.get('a', record.buildId, options)).toMatchObject({ state: 'done', result: 2, attempt: 2 });
      });

      fresh('that is lost aborts its signal without being used', async () => {
        const [queue, other] = [await open({ leaseMs: 150 }), await open({ leaseMs: 150 })];
        await queue.submit(submission('a'), options);
        const lease = await taken(queue);
        clock.advance(151);
        await taken(other);
        expect(await aborted(lease)).toMatchObject({ code: 'LEASE_LOST' });
      });

      fresh('retried waits for its time, counts, and tells why', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a', { imageId: 'first' }), options);
        await queue.submit(submission('a', { imageId: 'second' }), options);
        const lease = await taken(queue);
        await lease.checkpoint('built', 1);
        await lease.retry(failure, 5000);
        expect(await queue.get('a', record.buildId, options)).toMatchObject({
          ...{ state: 'queued', notBeforeMs: clock.now() + 5000, attempt: 1 },
        });
        expect(await queue.depth(options)).toMatchObject({ queued: 1, delayed: 1 });
        expect(await drained(queue)).toEqual(['second']);
        clock.advance(5000);
        const again = await taken(queue);
        expect(again.job).toMatchObject({ imageId: 'first', attempt: 2, journal: [{ step: 'built' }] });
        await again.end({ state: 'done', result: null });
        const [, told] = await watched(queue, record);
        expect(told).toMatchObject({ phase: 'queued', kind: 'state', what: { failure: { code: failure.code } } });
      });

      fresh('handed back keeps its place and counts for nothing', async () => {
        const queue = await open({ maxAttempts: 1 });
        await queue.submit(submission('a', { imageId: 'first' }), options);
        await queue.submit(submission('a', { imageId: 'second' }), options);
        for (let at = 0; at < 3; at += 1) {
          const lease = await taken(queue);
          expect(lease.job).toMatchObject({ imageId: 'first', attempt: 1 });
          await lease.handBack();
        }
        expect(await drained(queue)).toEqual(['first', 'second']);
      });

      fresh('lost or retried too often leaves a dead letter with its reason', async () => {
        const queue = await open({ maxAttempts: 2 });
        const lost = (await queue.submit(submission('a'), options)).record;
        for (const expected of [
          { requeued: 1, dead: 0 },
          { requeued: 0, dead: 1 },
        ]) {
          const lease = await taken(queue);
          await lease.tell([phase('packing')]);
          clock.advance(30_001);
          expect(await queue.reap(options)).toEqual(expected);
        }
        expect(await queue.get('a', lost.buildId, options)).toMatchObject({
          state: 'failed',
          failure: { code: 'JOB_ABANDONED', phase: 'packing', retryable: false, details: { attempts: 2 } },
        });
        expect((await watched(queue, lost)).at(-1)).toMatchObject({ kind: 'failure', what: { code: 'JOB_ABANDONED' } });

        const retried = (await queue.submit(submission('a'), options)).record;
        for (let at = 0; at < 2; at += 1) await (await taken(queue)).retry(failure, 0);
        expect(await queue.get('a', retried.buildId, options)).toMatchObject({
          failure: { code: 'JOB_ABANDONED', details: { last: { code: failure.code, message: failure.message } } },
        });
        expect((await queue.depth(options)).dead).toBe(2);
        expect(await queue.take(worker('w'), options)).toBeUndefined();
      });

      fresh('is not given past the deadline of a build: it fails', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a', { deadlineMs: clock.now() + 100 }), options);
        clock.advance(101);
        expect(await queue.take(worker('w'), options)).toBeUndefined();
        expect(await queue.get('a', record.buildId, options)).toMatchObject({
          state: 'failed',
          failure: { code: 'DEADLINE_EXCEEDED' },
        });
      });
    });

    describe('watch', () => {
      fresh('replays from any cursor, leaves out logs, and ends with the build', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        const lease = await taken(queue);
        await lease.tell([phase('building'), log('one'), log('two'), phase('pushing')]);
        await lease.end({ state: 'done', result: null });
        const all = await watched(queue, record);
        expect(all).toHaveLength(6);
        for (let after = 0; after <= 7; after += 1)
          expect(await watched(queue, record, after)).toEqual(all.slice(after));
        expect(await watched(queue, record, 0, true)).toEqual(all.filter(({ kind }) => kind !== 'log'));
      });

      fresh('misses and doubles nothing while events come, in this queue and in others', async () => {
        const [queue, other] = [await open(), await open()];
        const { record } = await queue.submit(submission('a'), options);
        const lease = await taken(queue);
        const watching = [watched(queue, record), watched(other, record)];
        const late: Promise<StoredEvent[]>[] = [];
        for (let at = 0; at < 60; at += 1) {
          const several = Array.from({ length: at % 4 }, (_, n) => log(`${at} ${n}`));
          await Promise.all([lease.tell(several), lease.tell([log(`${at} more`)])]);
          if (at % 20 === 5) late.push(watched(other, record, at));
        }
        await lease.end({ state: 'done', result: null });
        const [mine, others] = await Promise.all(watching);
        expect(mine?.map(({ cursor }) => cursor)).toEqual(mine?.map((_, at) => at + 1));
        expect(mine).toHaveLength(60 + 90 + 2);
        expect(others).toEqual(mine);
        for (const [at, tail] of (await Promise.all(late)).entries()) expect(tail).toEqual(mine?.slice(at * 20 + 5));
      });

      fresh('reads more events than fit one look', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        const lease = await taken(queue);
        await lease.tell(Array.from({ length: 1499 }, (_, at) => log(`line ${at}`)));
        await lease.end({ state: 'done', result: null });
        const events = await watched(queue, record);
        expect(events.map(({ cursor }) => cursor)).toEqual(Array.from({ length: 1501 }, (_, at) => at + 1));
        expect(await watched(queue, record, 1000)).toEqual(events.slice(1000));
      });

      fresh('stops with the reason it was given', async () => {
        const queue = await open();
        const { record } = await queue.submit(submission('a'), options);
        const stop = new AbortController();
        const reason = new Error('enough');
        const seen: number[] = [];
        const watching = (async () => {
          const watch = queue.watch('a', record.buildId, { after: 0, signal: stop.signal });
          for await (const { cursor } of watch) {
            seen.push(cursor);
            stop.abort(reason);
          }
        })();
        await expect(watching).rejects.toBe(reason);
        expect(seen).toEqual([1]);
      });
    });

    describe('for those who look after it', () => {
      fresh('says how deep it is', async () => {
        const queue = await open();
        expect(await queue.depth(options)).toEqual({
          ...{ queued: 0, delayed: 0, running: 0, dead: 0, oldestAgeMs: 0, queuedByWorkspace: new Map() },
        });
        await queue.submit(submission('a'), options);
        clock.advance(100);
        await queue.submit(submission('b'), options);
        await queue.submit(submission('b'), options);
        expect(await queue.depth(options)).toEqual({
          ...{ queued: 3, delayed: 0, running: 0, dead: 0, oldestAgeMs: 100 },
          queuedByWorkspace: new Map([
            ['a', 1],
            ['b', 2],
          ]),
        });
        await taken(queue);
        expect(await queue.depth(options)).toMatchObject({ queued: 2, running: 1, oldestAgeMs: 0 });
      });

      fresh('says what the jobs that have not ended are to build', async () => {
        const queue = await open();
        const open_ = async () => {
          const specs: unknown[] = [];
          for await (const spec of queue.openSpecs(options)) specs.push(spec);
          return specs.map((spec) => (spec as { readonly name: string }).name).toSorted();
        };
        expect(await open_()).toEqual([]);
        const named = (name: string) => submission('a', { spec: { name } });
        for (let at = 0; at < 60; at += 1) await queue.submit(submission('b', { spec: { name: 'b' } }), options);
        expect(await open_()).toHaveLength(60);
        await drained(queue);
        expect(await open_()).toEqual([]);
        await queue.submit(named('retried'), options);
        const retried = await taken(queue);
        expect(await open_()).toEqual(['retried']);
        await retried.retry({ code: 'X', message: '', phase: 'building', retryable: true, details: {} }, 60_000);
        await queue
          .submit(named('canceled while it waits'), options)
          .then(({ record }) => queue.cancel('a', record.buildId, '', options));
        const { record } = await queue.submit(named('canceled while it runs'), options);
        const running = await taken(queue);
        await queue.cancel('a', record.buildId, '', options);
        // Its worker still reads what it needs.
        expect(await open_()).toEqual(['canceled while it runs', 'retried']);
        await running.endCanceled();
        expect(await open_()).toEqual(['retried']);
      });

      fresh('knows the workers that were heard of', async () => {
        const [queue, other] = [await open(), await open()];
        await queue.advertise(worker('one', { baseLayers: ['sha256:1'] }), options);
        clock.advance(40_000);
        await other.advertise(worker('two', { draining: true, reason: 'drains' }), options);
        expect((await queue.workers(options)).map(({ workerId }) => workerId)).toEqual(['one', 'two']);
        clock.advance(40_000);
        expect(await queue.workers(options)).toEqual([
          worker('two', { draining: true, reason: 'drains', seenAtMs: clock.now() - 40_000 }),
        ]);
      });

      fresh('forgets builds that ended long ago, and nothing else', async () => {
        const queue = await open();
        const old = (await queue.submit(submission('a', { idempotencyKey: 'old' }), options)).record;
        const lease = await taken(queue);
        await lease.checkpoint('built', 1);
        await lease.end({ state: 'done', result: null });
        clock.advance(1000);
        const recent = (await queue.submit(submission('a'), options)).record;
        await drained(queue);
        const waiting = (await queue.submit(submission('a'), options)).record;
        expect(await queue.forget(clock.now(), options)).toBe(1);
        expect(await queue.get('a', old.buildId, options)).toBeUndefined();
        await expect(watched(queue, old)).rejects.toMatchObject({ code: 'BUILD_NOT_FOUND' });
        expect(await state(queue, recent)).toBe('done');
        expect(await state(queue, waiting)).toBe('queued');
        expect((await queue.list('a', { limit: 9 }, options)).records).toHaveLength(2);
        expect((await queue.submit(submission('a', { idempotencyKey: 'old' }), options)).how).toBe('queued');
      });

      fresh('keeps everything when it is closed and opened', async () => {
        const first = await where.open(queueSettings(clock));
        const { record } = await first.submit(submission('a', { idempotencyKey: 'once' }), options);
        await first[Symbol.asyncDispose]();
        await first[Symbol.asyncDispose]();
        await expect(first.depth(options)).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
        const queue = await open();
        expect(await queue.get('a', record.buildId, options)).toEqual(record);
        await taken(queue);
      });
    });
  });
}
