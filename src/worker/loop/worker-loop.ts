import { setTimeout as sleep } from 'node:timers/promises';
import { type Cancelable, messageOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { BuildQueue, Lease, QueueDepth, WorkerStatus } from '../../queue/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { WorkerControl } from '../api.ts';
import type { RunEnd } from '../run/run-job.ts';
import { type Disk, diskReason } from './disk.ts';
import { ImageTurns } from './image-turns.ts';

export interface LoopOptions {
  readonly queue: BuildQueue;
  readonly workerId: string;
  readonly version: string;
  readonly slots: number;
  /** Runs a job to the end of the attempt; `handBack` is aborted when the worker can wait no longer. */
  readonly run: (lease: Lease, options: { readonly handBack: AbortSignal }) => Promise<RunEnd>;
  readonly disk: () => Promise<Disk>;
  /** Free bytes below which nothing is taken. */
  readonly watermarkBytes: number;
  /** What BuildKit can build for. Throws when it does not answer: nothing is taken then. */
  readonly platforms: (options: Cancelable) => Promise<readonly string[]>;
  readonly baseLayers: () => readonly string[];
  /** Clears away what is no longer needed. */
  readonly upkeep: (options: Cancelable) => Promise<void>;
  readonly drainBudgetMs: number;
  readonly heartbeatMs: number;
  readonly upkeepMs: number;
  readonly log: Log;
  readonly now: () => number;
}

export interface Drained {
  readonly finished: number;
  readonly handedBack: number;
}

/** Without a wake-up the queue is asked again after this. */
const WAIT_FOR_WORK_MS = 5000;
const PAUSE_MS = 500;
const MAX_PAUSE_MS = 5000;

/** Takes jobs as long as there are free slots, tells the queue what it is, and stops in order. */
export class WorkerLoop implements WorkerControl {
  readonly #options: LoopOptions;
  readonly #running = new Map<string, Promise<void>>();
  readonly #turns = new ImageTurns();
  readonly #intake = new AbortController();
  readonly #handBack = new AbortController();
  readonly #stopped = new AbortController();
  readonly #done = Promise.withResolvers<Drained>();
  #slotFreed = Promise.withResolvers<undefined>();
  /** Aborted, and another one made, when upkeep cannot wait for its turn. */
  #upkeepDue = new AbortController();
  #tasks: Promise<unknown> = Promise.resolve();
  #platforms: readonly string[] = [];
  #disk: Disk = { freeBytes: 0, bytes: 0 };
  /** Undefined once a heartbeat found nothing wrong. */
  #reason: string | undefined = 'starting';
  #drained = { finished: 0, handedBack: 0 };

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** Begins to take jobs, once the first heartbeat is done. */
  async start(): Promise<void> {
    await this.#beat();
    this.#tasks = Promise.all([this.#takeJobs(), this.#keepBeating(), this.#keepUp()]);
    this.#tasks.catch((thrown: unknown) => {
      this.#done.reject(toWorkerError(thrown, 'the worker'));
    });
  }

  /** Resolves when the worker has drained. */
  get done(): Promise<Drained> {
    return this.#done.promise;
  }

  status(): WorkerStatus {
    const { baseLayers, now, slots, version, workerId } = this.#options;
    return {
      workerId,
      version,
      slots,
      freeSlots: this.#isDraining ? 0 : Math.max(0, slots - this.#running.size),
      draining: this.#isDraining,
      reason: this.#isDraining ? 'draining' : this.#reason,
      platforms: this.#platforms,
      diskFreeBytes: this.#disk.freeBytes,
      diskBytes: this.#disk.bytes,
      baseLayers: baseLayers(),
      seenAtMs: now(),
    };
  }

  async capacity(
    options: Cancelable,
  ): Promise<{ readonly workers: readonly WorkerStatus[]; readonly depth: QueueDepth }> {
    const { queue, workerId } = this.#options;
    const [workers, depth] = await Promise.all([queue.workers(options), queue.depth(options)]);
    return { workers: [this.status(), ...workers.filter((worker) => worker.workerId !== workerId)], depth };
  }

  async drain(budgetMs: number | undefined, { signal }: Cancelable): Promise<Drained> {
    const { drainBudgetMs, log } = this.#options;
    if (!this.#isDraining) {
      log.info({ budgetMs: budgetMs ?? drainBudgetMs, running: this.#running.size }, 'draining');
      this.#intake.abort(new WorkerError('WORKER_DRAINING', 'the worker is draining'));
      void this.#finish();
    }
    const timer = setTimeout(
      () => {
        this.#handBack.abort(new WorkerError('WORKER_DRAINING', 'the worker could not wait for the build'));
      },
      Math.min(budgetMs ?? drainBudgetMs, 2 ** 31 - 1),
    );
    const aborted = Promise.withResolvers<never>();
    const abort = () => {
      aborted.reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([this.#done.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
      if (!signal.aborted) clearTimeout(timer); // who stopped waiting still wants the worker to go
    }
  }

  get #isDraining(): boolean {
    return this.#intake.signal.aborted;
  }

  async #finish(): Promise<void> {
    await this.#tell();
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
    this.#stopped.abort();
    await Promise.allSettled([this.#tasks]);
    this.#options.log.info(this.#drained, 'drained');
    this.#done.resolve(this.#drained);
  }

  async #takeJobs(): Promise<void> {
    const { log, queue, slots } = this.#options;
    const { signal } = this.#intake;
    let pauseMs = PAUSE_MS;
    while (!signal.aborted) {
      if (this.#running.size >= slots) {
        await this.#slotFreed.promise;
        continue;
      }
      if (this.#reason !== undefined) {
        await pause(PAUSE_MS, signal);
        continue;
      }
      try {
        const lease = await queue.take(this.status(), { signal });
        if (lease !== undefined) await this.#begin(lease);
        else await queue.waitForWork(WAIT_FOR_WORK_MS, { signal });
        pauseMs = PAUSE_MS;
      } catch (thrown) {
        if (isOver(signal)) return;
        log.warn({ reason: messageOf(thrown) }, 'no job can be taken');
        await pause(pauseMs, signal);
        pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2);
      }
    }
  }

  async #begin(lease: Lease): Promise<void> {
    const { jobId } = lease.job;
    if (this.#isDraining) {
      await using held = lease;
      await held.handBack();
      return;
    }
    const task = this.#runOne(lease).finally(() => {
      this.#running.delete(jobId);
      const freed = this.#slotFreed;
      this.#slotFreed = Promise.withResolvers();
      freed.resolve(undefined);
    });
    this.#running.set(jobId, task);
  }

  async #runOne(lease: Lease): Promise<void> {
    const { log, run } = this.#options;
    const { imageId, jobId, workspaceId } = lease.job;
    try {
      await using held = lease;
      const end = await this.#turns.run(`${workspaceId}/${imageId}`, () =>
        run(held, { handBack: this.#handBack.signal }),
      );
      if (!this.#isDraining) return;
      if (end === 'handed-back' || end === 'lost') this.#drained.handedBack += 1;
      else this.#drained.finished += 1;
    } catch (thrown) {
      const { code, message } = toWorkerError(thrown, `job ${jobId}`);
      log.error({ jobId, code, reason: message }, 'a job ended with a defect of the worker');
      if (this.#isDraining) this.#drained.handedBack += 1;
    }
  }

  async #keepBeating(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await pause(this.#options.heartbeatMs, signal);
      if (!isOver(signal)) await this.#beat();
    }
  }

  /** Looks at what the worker stands on, tells others, and looks after the jobs of those that fell silent. */
  async #beat(): Promise<void> {
    const { disk, log, platforms, queue, watermarkBytes } = this.#options;
    const { signal } = this.#stopped;
    const before = this.#reason;
    try {
      this.#disk = await disk();
      this.#platforms = await platforms({ signal });
      const reason = diskReason(this.#disk, watermarkBytes);
      if (reason !== undefined && before === undefined) this.#upkeepDue.abort();
      this.#reason = reason;
    } catch (thrown) {
      if (signal.aborted) return;
      this.#reason = messageOf(thrown);
    }
    if (this.#reason !== before) log.info({ reason: this.#reason ?? 'ready' }, 'intake');
    await this.#tell();
    try {
      const { dead, requeued } = await queue.reap({ signal });
      if (dead + requeued > 0) log.warn({ dead, requeued }, 'jobs of silent workers');
    } catch (thrown) {
      if (!signal.aborted) log.warn({ reason: messageOf(thrown) }, 'leases that ran out could not be looked at');
    }
  }

  async #tell(): Promise<void> {
    const { log, queue } = this.#options;
    try {
      await queue.advertise(this.status(), { signal: this.#stopped.signal });
    } catch (thrown) {
      if (!this.#stopped.signal.aborted) log.warn({ reason: messageOf(thrown) }, 'the queue does not hear this worker');
    }
  }

  async #keepUp(): Promise<void> {
    const { log, upkeep, upkeepMs } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const due = new AbortController();
      this.#upkeepDue = due;
      try {
        await upkeep({ signal });
      } catch (thrown) {
        if (!isOver(signal)) log.warn({ reason: messageOf(thrown) }, 'upkeep failed');
      }
      // A disk that runs full is looked after at once: nothing is taken until then.
      await pause(upkeepMs, AbortSignal.any([signal, due.signal]));
    }
  }
}

/** Ends early, and quietly, when the signal says so. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/** What the compiler takes for unchanged may have changed during an `await`. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}
