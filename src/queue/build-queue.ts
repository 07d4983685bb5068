import type { Cancelable } from '../errors/index.ts';
import type {
  BuildRecord,
  Job,
  Json,
  NewEvent,
  Outcome,
  QueueDepth,
  StoredEvent,
  StoredFailure,
  Submission,
  WorkerStatus,
} from './records.ts';
import type { BuildState } from './states.ts';

/**
 * Where builds wait, and where everything that is known of them is kept: records, events, journal. Any number of processes
 * use one queue. A job belongs to whoever holds its lease; who stops renewing it (crashed, paused, cut off) has lost it, and
 * the next worker takes the job with its journal.
 *
 * The conformance suite `test/conformance/build-queue.ts` says what every implementation promises.
 */
export interface BuildQueue extends AsyncDisposable {
  /** `sqlite:FILE`, `redis://host`: without credentials, for logs. */
  readonly name: string;

  /** Atomic: of two equal submissions at once, one shares the other's job. */
  submit(submission: Submission, options: Cancelable): Promise<Submitted>;

  /** undefined when the workspace has no such build. */
  get(workspaceId: string, buildId: string, options: Cancelable): Promise<BuildRecord | undefined>;

  /** The build that was submitted with an idempotency key; undefined when the workspace used it for none. */
  submittedWith(workspaceId: string, idempotencyKey: string, options: Cancelable): Promise<BuildRecord | undefined>;

  /** Newest first. */
  list(workspaceId: string, query: ListQuery, options: Cancelable): Promise<ListPage>;

  /** How many jobs of all workspaces would go before a queued build if nothing else came; undefined when it is not queued. */
  position(workspaceId: string, buildId: string, options: Cancelable): Promise<number | undefined>;

  /**
   * The build ends as canceled; when no other build shares its job, the job's lease is aborted or the job leaves the queue.
   * A build that has ended stays as it is. undefined when the workspace has no such build.
   */
  cancel(workspaceId: string, buildId: string, reason: string, options: Cancelable): Promise<BuildRecord | undefined>;

  /**
   * The events of a build behind `after`, then those to come; returns after its last one. Every event once and in order.
   * A build that is canceled while others share its job ends with an event of its own.
   */
  watch(
    workspaceId: string,
    buildId: string,
    options: Cancelable & { readonly after: number; readonly skipLogs?: boolean },
  ): AsyncIterable<StoredEvent>;

  /**
   * The next job this worker should run, or undefined when there is none now. Workspaces take turns by their weights,
   * however many builds each has queued; within a workspace the higher priority goes first, then the older. A job whose base
   * layers another worker with a free slot has is left to that one for a moment.
   */
  take(worker: WorkerStatus, options: Cancelable): Promise<Lease | undefined>;

  /** Returns when there may be something to take, or after `atMostMs`. */
  waitForWork(atMostMs: number, options: Cancelable): Promise<void>;

  /** Tells others of this worker; one that was not heard of for a while is forgotten. */
  advertise(worker: WorkerStatus, options: Cancelable): Promise<void>;
  workers(options: Cancelable): Promise<readonly WorkerStatus[]>;
  depth(options: Cancelable): Promise<QueueDepth>;

  /** Jobs whose lease ran out go back into the queue, those taken too often end as failed (JOB_ABANDONED). Says how many. */
  reap(options: Cancelable): Promise<{ readonly requeued: number; readonly dead: number }>;

  /** What the jobs that have not ended are to build, for whoever clears away what none needs; later ones may be left out. */
  openSpecs(options: Cancelable): AsyncIterable<Json>;

  /** Removes builds, with events and journals, that ended before this. */
  forget(endedBeforeMs: number, options: Cancelable): Promise<number>;
}

export interface Submitted {
  readonly record: BuildRecord;
  readonly how: 'queued' | 'shared' | 'repeated';
}

export interface ListQuery {
  /** undefined: all. */
  readonly states?: readonly BuildState[];
  readonly imageId?: string;
  readonly limit: number;
  /** `next` of the page before. */
  readonly page?: string;
}

export interface ListPage {
  readonly records: readonly BuildRecord[];
  readonly next: string | undefined;
}

/**
 * A job in the hands of one worker, renewed by itself until it is disposed. Every method throws LEASE_LOST once the job is
 * another's: what was told before is kept, nothing of it is told twice. One of the last four ends the lease.
 */
export interface Lease extends AsyncDisposable {
  readonly job: Job;
  /** Aborted with BUILD_CANCELED when nobody wants the job any more, with LEASE_LOST when it is another's. */
  readonly signal: AbortSignal;

  /** Appends in order, all or none. The job's state follows events of kind `state`. */
  tell(events: readonly NewEvent[]): Promise<void>;
  /** Durable when it returns. */
  checkpoint(step: string, data: Json): Promise<void>;

  /** The job's builds have this outcome; the last event tells of it. */
  end(outcome: Outcome): Promise<void>;
  /** Everybody who wanted it has canceled; returns when builds and events say so. */
  endCanceled(): Promise<void>;
  /** Back into the queue, not before `afterMs` from now; this attempt counts. */
  retry(failure: StoredFailure, afterMs: number): Promise<void>;
  /** Back into the queue at its old place, for any worker; this attempt does not count against it. */
  handBack(): Promise<void>;
}

/** What a queue needs to know besides where it is. */
export interface QueueSettings {
  /** A lease that was not renewed for this long is lost; it is renewed three times as often. */
  readonly leaseMs: number;
  /** A job that was taken this often without an end is dead. */
  readonly maxAttempts: number;
  /** Turns a workspace gets, 1 unless named. */
  readonly weights: ReadonlyMap<string, number>;
  /** Jobs of one workspace that run at once, on all workers. */
  readonly maxRunningPerWorkspace: number;
  /** How long a job is left to a worker that has its base layers. */
  readonly warmWaitMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}
