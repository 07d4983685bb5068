import { randomUUID } from 'node:crypto';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { BuildQueue, Lease, ListPage, ListQuery, QueueSettings, Submitted } from '../build-queue.ts';
import { passAt, strideOf, turnsBefore } from '../fairness.ts';
import { type EventBatch, follow } from '../follow.ts';
import { HeldLease } from '../held-lease.ts';
import { canceledEvent, leaseLostEvent, queuedEvent } from '../own-events.ts';
import { tooLate } from '../own-failures.ts';
import type { BuildRecord, Json, QueueDepth, StoredEvent, Submission, WorkerStatus } from '../records.ts';
import { isHeard, SILENT_LEASES, takesWork } from '../warmth.ts';
import { canceledEnd, claimStore, deadEnd, endOf } from './claim.ts';
import { listBuilds } from './list.ts';
import { eventOf, hashOf, jobOf, type Overdue, overdueOf, parseStored, recordOf } from './rows.ts';
import { Store, type StoreAddress } from './store.ts';

/** Should a message be lost: they are sent once, and not to who is away. */
const LOOK_EVERY_MS = 2000;
const EVENT_BATCH = 500;
const FORGET_BATCH = 500;
/** Of many jobs that become due one after another not each wakes a worker. */
const MIN_WAIT_MS = 20;

export class RedisQueue implements BuildQueue {
  readonly name: string;
  readonly #store: Store;
  readonly #settings: QueueSettings;
  readonly #owned: AsyncDisposable[] = [];

  private constructor(store: Store, settings: QueueSettings) {
    this.name = store.name;
    this.#store = store;
    this.#settings = settings;
  }

  static async open(address: StoreAddress, settings: QueueSettings): Promise<RedisQueue> {
    return new RedisQueue(await Store.open(address), settings);
  }

  get store(): Store {
    return this.#store;
  }

  async submit(submission: Submission, options: Cancelable): Promise<Submitted> {
    const now = this.#settings.now();
    const { spec, platforms, baseLayers } = submission;
    const texts = {
      spec: JSON.stringify(spec),
      platforms: JSON.stringify(platforms),
      baseLayers: JSON.stringify(baseLayers),
    };
    const ids = { buildId: randomUUID(), jobId: randomUUID() };
    const event = JSON.stringify(queuedEvent(now));
    const answer = await this.#store.call('submit', { ...submission, ...texts, ...ids, now, event }, options);
    const [how, view] = answer as [Submitted['how'], unknown];
    return { record: recordOf(view, now), how };
  }

  async get(workspaceId: string, buildId: string, options: Cancelable): Promise<BuildRecord | undefined> {
    const [view] = (await this.#store.call('views', { builds: [buildId] }, options)) as unknown[];
    return this.#shown(view, workspaceId);
  }

  async submittedWith(
    workspaceId: string,
    idempotencyKey: string,
    options: Cancelable,
  ): Promise<BuildRecord | undefined> {
    const key = this.#store.key('idempotent', workspaceId);
    const buildId = await this.#store.do(() => this.#store.redis.hget(key, idempotencyKey), options);
    return buildId === null ? undefined : await this.get(workspaceId, buildId, options);
  }

  async list(workspaceId: string, query: ListQuery, options: Cancelable): Promise<ListPage> {
    return await listBuilds(this.#store, workspaceId, query, this.#settings.now(), options);
  }

  async position(workspaceId: string, buildId: string, options: Cancelable): Promise<number | undefined> {
    const { now, weights } = this.#settings;
    const answer = await this.#store.call('position', { workspaceId, buildId, now: now() }, options);
    if (answer === null) return undefined;
    const [ahead, time, lines] = answer as [number, string, [string, string, number][]];
    const turns = lines.map(([id, pass, waiting]) => ({
      workspaceId: id,
      pass: passAt(Number(pass), Number(time)),
      waiting,
    }));
    const mine = turns.find((it) => it.workspaceId === workspaceId) ?? { workspaceId, pass: Number(time) };
    const others = turns.filter((it) => it.workspaceId !== workspaceId);
    return ahead + turnsBefore(mine, ahead, others, weights);
  }

  async cancel(
    workspaceId: string,
    buildId: string,
    reason: string,
    options: Cancelable,
  ): Promise<BuildRecord | undefined> {
    const now = this.#settings.now();
    const event = JSON.stringify(canceledEvent(now, reason));
    const view = await this.#store.call('cancel', { workspaceId, buildId, now, event }, options);
    return this.#shown(view, workspaceId);
  }

  async *watch(
    workspaceId: string,
    buildId: string,
    options: Cancelable & { readonly after: number; readonly skipLogs?: boolean },
  ): AsyncIterable<StoredEvent> {
    const signal = AbortSignal.any([options.signal, this.#store.closed]);
    const record = await this.get(workspaceId, buildId, { signal });
    if (record === undefined)
      throw new WorkerError('BUILD_NOT_FOUND', `workspace ${workspaceId} has no build ${buildId}`, { buildId });
    using bells = this.#store.listen(record.jobId);
    const read = (after: number) => this.#read(buildId, after, { signal });
    yield* follow(read, bells.told, { ...options, lookEveryMs: LOOK_EVERY_MS, signal });
  }

  async take(worker: WorkerStatus, options: Cancelable): Promise<Lease | undefined> {
    if (!takesWork(worker)) return undefined;
    await this.reap(options);
    const { now, leaseMs, warmWaitMs, weights, maxRunningPerWorkspace: maxRunning } = this.#settings;
    const [token, nowMs] = [randomUUID(), now()];
    // Until it says so itself, others must not leave work for a slot that is taken now.
    const status = { ...worker, freeSlots: Math.max(0, worker.freeSlots - 1), seenAtMs: nowMs };
    const strides = Object.fromEntries([...weights.keys()].map((id) => [id, strideOf(id, weights)]));
    const answer = await this.#store.call(
      'take',
      {
        ...{ worker, status: JSON.stringify(status), token, now: nowMs, leaseMs, warmWaitMs, maxRunning },
        ...{ strides, stride: strideOf('', new Map()), silentMs: leaseMs * SILENT_LEASES },
      },
      options,
    );
    if (answer === null) return undefined;
    const [stored, journal] = answer as [unknown, string[]];
    const job = jobOf(hashOf(stored), journal);
    const bells = this.#store.listen(job.jobId);
    const claim = claimStore(this.#store, this.#settings, job, token);
    return new HeldLease(job, claim, bells.moved, leaseMs, now, bells);
  }

  async waitForWork(atMostMs: number, options: Cancelable): Promise<void> {
    const { rings } = this.#store.moved;
    const dueInMs = await this.#dueInMs(options);
    const signal = AbortSignal.any([options.signal, this.#store.closed]);
    await this.#store.moved.waitSince(rings, Math.min(atMostMs, dueInMs), { signal });
  }

  async advertise(worker: WorkerStatus, options: Cancelable): Promise<void> {
    const stored = JSON.stringify({ ...worker, seenAtMs: this.#settings.now() });
    const key = this.#store.key('workers');
    await this.#store.do(() => this.#store.redis.hset(key, worker.workerId, stored), options);
    const silent = (await this.#allWorkers(options)).filter((it) => !isHeard(it, this.#settings));
    if (silent.length === 0) return;
    await this.#store.do(() => this.#store.redis.hdel(key, ...silent.map((it) => it.workerId)), options);
  }

  async workers(options: Cancelable): Promise<readonly WorkerStatus[]> {
    return (await this.#allWorkers(options)).filter((it) => isHeard(it, this.#settings));
  }

  async depth(options: Cancelable): Promise<QueueDepth> {
    const now = this.#settings.now();
    const answer = await this.#store.call('depth', { now }, options);
    const [queued, delayed, running, dead, oldest, lines] = answer as [
      ...[number, number, number, number],
      string | null,
      string[],
    ];
    const byWorkspace = Object.entries(hashOf(lines)).map(([id, count]) => [id, Number(count)] as const);
    return {
      ...{ queued, delayed, running, dead },
      oldestAgeMs: oldest === null ? 0 : Math.max(0, now - Number(oldest)),
      queuedByWorkspace: new Map(byWorkspace.filter(([, count]) => count > 0)),
    };
  }

  async reap(options: Cancelable): Promise<{ readonly requeued: number; readonly dead: number }> {
    const now = this.#settings.now();
    const [silent, late] = (await this.#store.call('overdue', { now }, options)) as [unknown[], unknown[]];
    let [requeued, dead] = [0, 0];
    for (const job of silent.map(overdueOf)) {
      const [buried, released] = await this.#takeBack(job, options);
      if (released && buried) dead += 1;
      else if (released) requeued += 1;
    }
    for (const { id, deadlineMs, state } of late.map(overdueOf)) {
      const finish = endOf({ state: 'failed', failure: tooLate(deadlineMs, state) }, now);
      await this.#store.call('expire', { id, finish, now }, options);
    }
    return { requeued, dead };
  }

  async *openSpecs(options: Cancelable): AsyncGenerator<Json> {
    const jobIds = (await this.#store.call('open', {}, options)) as string[];
    for (const jobId of jobIds) {
      const spec = await this.#store.do(() => this.#store.redis.hget(this.#store.key('job', jobId), 'spec'), options);
      if (spec !== null) yield parseStored(spec, `job ${jobId}`) as Json;
    }
  }

  async forget(endedBeforeMs: number, options: Cancelable): Promise<number> {
    let total = 0;
    while (true) {
      const args = { before: endedBeforeMs, batch: FORGET_BATCH, now: this.#settings.now() };
      const count = (await this.#store.call('forget', args, options)) as number;
      total += count;
      if (count < FORGET_BATCH) return total;
    }
  }

  /** Disposed with the queue, before its connections. */
  own(it: AsyncDisposable): void {
    this.#owned.push(it);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const it of this.#owned.splice(0)) await it[Symbol.asyncDispose]();
    this.#store.close();
  }

  #shown(view: unknown, workspaceId: string): BuildRecord | undefined {
    if (view === null || view === undefined) return undefined;
    const record = recordOf(view, this.#settings.now());
    return record.workspaceId === workspaceId ? record : undefined;
  }

  async #read(buildId: string, after: number, options: Cancelable): Promise<EventBatch> {
    const answer = await this.#store.call('events', { buildId, after, batch: EVENT_BATCH }, options);
    if (answer === null) return { events: [], ended: true };
    const [status, stored, endCursor, endEvent] = answer as [string, string[], string | null, string | null];
    const events = stored.map((event, at) => eventOf(event, after + at + 1));
    const more = events.length === EVENT_BATCH;
    const ownEnd = endEvent === null ? undefined : eventOf(endEvent, Number(endCursor));
    if (ownEnd !== undefined && !more && after < ownEnd.cursor) events.push(ownEnd);
    return { events, ended: !more && (ownEnd !== undefined || status === 'ended') };
  }

  /** What a silent worker held goes to the next, or to nobody. */
  async #takeBack(job: Overdue, options: Cancelable): Promise<readonly [buried: boolean, released: boolean]> {
    const now = this.#settings.now();
    const buried = job.attempt >= this.#settings.maxAttempts;
    const event = JSON.stringify(leaseLostEvent(now, job.workerId));
    const what = buried
      ? { finish: deadEnd(job.attempt, job.state, undefined, now) }
      : { back: { event, availableAt: now, counts: true } };
    const { id, token } = job;
    const args = { id, token, now, expired: true, canceled: canceledEnd(now), ...what };
    return [buried, (await this.#store.call('release', args, options)) === 'released'];
  }

  /** Until a job that waits for a time, or for a warm worker, may be taken. */
  async #dueInMs(options: Cancelable): Promise<number> {
    const { now, warmWaitMs } = this.#settings;
    const nowMs = now();
    const firstBehind = async (timeMs: number): Promise<number> => {
      const { redis } = this.#store;
      const found = await this.#store.do(
        () => redis.zrangebyscore(this.#store.key('due'), `(${timeMs}`, '+inf', 'WITHSCORES', 'LIMIT', 0, 1),
        options,
      );
      return found[1] === undefined ? Number.POSITIVE_INFINITY : Number(found[1]);
    };
    const [later, warm] = [await firstBehind(nowMs), await firstBehind(nowMs - warmWaitMs)];
    return Math.max(MIN_WAIT_MS, Math.min(later, warm + warmWaitMs) - nowMs);
  }

  async #allWorkers(options: Cancelable): Promise<readonly WorkerStatus[]> {
    const stored = await this.#store.do(() => this.#store.redis.hvals(this.#store.key('workers')), options);
    return stored
      .map((it) => parseStored(it, 'a worker') as WorkerStatus)
      .map((it) => ({ ...it, reason: it.reason }))
      .toSorted((a, b) => (a.workerId < b.workerId ? -1 : 1));
  }
}
