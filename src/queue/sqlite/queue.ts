import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { BuildQueue, Lease, ListPage, ListQuery, QueueSettings, Submitted } from '../build-queue.ts';
import { follow } from '../follow.ts';
import { HeldLease } from '../held-lease.ts';
import type { BuildRecord, Json, QueueDepth, StoredEvent, Submission, WorkerStatus } from '../records.ts';
import { isHeard, takesWork } from '../warmth.ts';
import { cancelBuild, getBuild, getSubmittedWith, listBuilds, openSpecs } from './builds.ts';
import { Changes } from './changes.ts';
import { claimStore } from './claim.ts';
import { Database } from './database.ts';
import { readEvents } from './events.ts';
import { forget, isReapDue, reap } from './reap.ts';
import { submit } from './submit.ts';
import { position, take } from './take.ts';
import { depth, dropSilentWorkers, knownWorkers, saveWorker } from './workers.ts';

/** Should a bell ever be missed. */
const LOOK_EVERY_MS = 5000;
/** Of many jobs that become due one after another not each wakes a worker. */
const MIN_WAIT_MS = 20;

/**
 * The queue in one SQLite file, for any number of processes of one machine. Throws QUEUE_CORRUPT when the file is something
 * else or of another version, QUEUE_UNAVAILABLE when it cannot be opened.
 */
export function openSqliteQueue(file: string, settings: QueueSettings): BuildQueue {
  return new SqliteQueue(file, settings);
}

class SqliteQueue implements BuildQueue {
  readonly name: string;
  readonly #db: Database;
  readonly #changes: Changes;
  readonly #settings: QueueSettings;
  readonly #closed = new AbortController();

  constructor(file: string, settings: QueueSettings) {
    this.name = `sqlite:${file}`;
    this.#settings = settings;
    this.#db = new Database(file);
    this.#changes = new Changes(this.#db);
  }

  async submit(submission: Submission, options: Cancelable): Promise<Submitted> {
    const work = () => {
      const { buildId, how } = submit(this.#db, submission, this.#settings);
      const record = getBuild(this.#db, submission.workspaceId, buildId, this.#settings.now());
      if (record === undefined) throw new WorkerError('QUEUE_CORRUPT', `build ${buildId} has no job`, { buildId });
      return { record, how };
    };
    return await this.#change(work, true, options);
  }

  get(workspaceId: string, buildId: string, options: Cancelable): Promise<BuildRecord | undefined> {
    return this.#look(() => getBuild(this.#db, workspaceId, buildId, this.#settings.now()), options);
  }

  submittedWith(workspaceId: string, idempotencyKey: string, options: Cancelable): Promise<BuildRecord | undefined> {
    return this.#look(() => getSubmittedWith(this.#db, workspaceId, idempotencyKey, this.#settings.now()), options);
  }

  list(workspaceId: string, query: ListQuery, options: Cancelable): Promise<ListPage> {
    return this.#look(() => listBuilds(this.#db, workspaceId, query, this.#settings.now()), options);
  }

  position(workspaceId: string, buildId: string, options: Cancelable): Promise<number | undefined> {
    return this.#look(() => position(this.#db, workspaceId, buildId, this.#settings), options);
  }

  cancel(workspaceId: string, buildId: string, reason: string, options: Cancelable): Promise<BuildRecord | undefined> {
    return this.#change(() => cancelBuild(this.#db, workspaceId, buildId, reason, this.#settings), true, options);
  }

  async *watch(
    workspaceId: string,
    buildId: string,
    options: Cancelable & { readonly after: number; readonly skipLogs?: boolean },
  ): AsyncIterable<StoredEvent> {
    const signal = AbortSignal.any([options.signal, this.#closed.signal]);
    if ((await this.get(workspaceId, buildId, { signal })) === undefined)
      throw new WorkerError('BUILD_NOT_FOUND', `workspace ${workspaceId} has no build ${buildId}`, { buildId });
    using _ = this.#changes.attend();
    const read = (after: number) => this.#look(() => readEvents(this.#db, buildId, after), { signal });
    yield* follow(read, this.#changes.told, { ...options, lookEveryMs: LOOK_EVERY_MS, signal });
  }

  async take(worker: WorkerStatus, options: Cancelable): Promise<Lease | undefined> {
    if (!takesWork(worker)) return undefined;
    const taken = await this.#change(
      () => {
        reap(this.#db, this.#settings);
        return take(this.#db, worker, this.#settings);
      },
      false,
      options,
    );
    if (taken === undefined) return undefined;
    const surroundings = {
      db: this.#db,
      settings: this.#settings,
      change: <T>(work: () => T, freed: boolean) => this.#change(work, freed, { signal: this.#closed.signal }),
      look: <T>(work: () => T) => this.#look(work, { signal: this.#closed.signal }),
    };
    const attention = this.#changes.attend();
    const { leaseMs, now } = this.#settings;
    return new HeldLease(taken.job, claimStore(surroundings, taken), this.#changes.moved, leaseMs, now, attention);
  }

  async waitForWork(atMostMs: number, options: Cancelable): Promise<void> {
    const { rings } = this.#changes.moved;
    const dueInMs = await this.#look(() => this.#dueInMs(), options);
    const signal = AbortSignal.any([options.signal, this.#closed.signal]);
    await this.#changes.waitMoved(rings, Math.min(atMostMs, dueInMs), { signal });
  }

  advertise(worker: WorkerStatus, options: Cancelable): Promise<void> {
    const work = () => {
      saveWorker(this.#db, worker, this.#settings.now());
      dropSilentWorkers(this.#db, this.#settings);
    };
    return this.#change(work, false, options);
  }

  workers(options: Cancelable): Promise<readonly WorkerStatus[]> {
    return this.#look(() => knownWorkers(this.#db).filter((it) => isHeard(it, this.#settings)), options);
  }

  depth(options: Cancelable): Promise<QueueDepth> {
    return this.#look(() => depth(this.#db, this.#settings), options);
  }

  async reap(options: Cancelable): Promise<{ readonly requeued: number; readonly dead: number }> {
    const due = await this.#look(() => isReapDue(this.#db, this.#settings), options);
    if (!due) return { requeued: 0, dead: 0 };
    return await this.#change(() => reap(this.#db, this.#settings), true, options);
  }

  async *openSpecs(options: Cancelable): AsyncGenerator<Json> {
    let place = 0;
    for (;;) {
      const after = place;
      const rows = await this.#look(() => openSpecs(this.#db, after), options);
      for (const { spec } of rows) yield spec;
      const last = rows.at(-1);
      if (last === undefined) return;
      place = last.seq;
    }
  }

  forget(endedBeforeMs: number, options: Cancelable): Promise<number> {
    return this.#change(() => forget(this.#db, endedBeforeMs), false, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return Promise.resolve();
    this.#closed.abort(new WorkerError('QUEUE_UNAVAILABLE', `${this.name} was closed`));
    this.#changes[Symbol.dispose]();
    this.#db[Symbol.dispose]();
    return Promise.resolve();
  }

  /** Until a job that waits for a time, or for a warm worker, may be taken. */
  #dueInMs(): number {
    const { now, warmWaitMs } = this.#settings;
    const { due } = this.#db.get(
      `SELECT min(iif(available_at > ?1, available_at, available_at + ?2)) AS due FROM jobs
       WHERE status = 'queued' AND available_at > ?1 - ?2`,
      ...[now(), warmWaitMs],
    ) as { due: number | null };
    return due === null ? Number.POSITIVE_INFINITY : Math.max(MIN_WAIT_MS, due - now());
  }

  async #change<T>(work: () => T, moved: boolean, options: Cancelable): Promise<T> {
    const result = await this.#look(() => this.#db.write(work), options);
    this.#changes.told.ring();
    if (moved) this.#changes.moved.ring();
    return result;
  }

  #look<T>(work: () => T, { signal }: Cancelable): Promise<T> {
    return new Promise((resolve) => {
      this.#closed.signal.throwIfAborted();
      signal.throwIfAborted();
      resolve(this.#db.guard(work));
    });
  }
}
