import { WorkerError } from '../errors/index.ts';
import type { Bell } from './bell.ts';
import type { Lease } from './build-queue.ts';
import type { Job, Json, NewEvent, Outcome, StoredFailure } from './records.ts';

/** What became of a claim. `canceled`: still held, but nobody wants the job any more. */
export type Claim = 'held' | 'canceled' | 'lost';

/** A claim on a job in a store. Each method but the first two throws LEASE_LOST when it is another's. */
export interface ClaimStore {
  look(): Promise<Claim>;
  /** As look, and the claim holds for another leaseMs. */
  renew(): Promise<Claim>;
  tell(events: readonly NewEvent[]): Promise<void>;
  checkpoint(step: string, data: Json): Promise<void>;
  end(outcome: Outcome): Promise<void>;
  endCanceled(): Promise<void>;
  retry(failure: StoredFailure, afterMs: number): Promise<void>;
  handBack(): Promise<void>;
}

export const leaseLost = (jobId: string): WorkerError =>
  new WorkerError('LEASE_LOST', `job ${jobId}: the lease is no longer this worker's`, { jobId });

/** A lease over any store: renews the claim, listens for cancels, and aborts its signal when it is lost. */
export class HeldLease implements Lease {
  readonly job: Job;
  readonly #claim: ClaimStore;
  readonly #bell: Bell;
  readonly #leaseMs: number;
  readonly #now: () => number;
  readonly #aborted = new AbortController();
  readonly #stopped = new AbortController();
  readonly #keeping: Promise<void>;
  #heldAtMs: number;
  #isLost = false;

  /** `attention` is held for as long as the bell has to ring for others' changes. */
  constructor(job: Job, claim: ClaimStore, bell: Bell, leaseMs: number, now: () => number, attention: Disposable) {
    this.job = job;
    this.#claim = claim;
    this.#bell = bell;
    this.#leaseMs = leaseMs;
    this.#now = now;
    this.#heldAtMs = now();
    this.#keeping = this.#keep().finally(() => {
      attention[Symbol.dispose]();
    });
  }

  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  tell(events: readonly NewEvent[]): Promise<void> {
    return events.length === 0 ? Promise.resolve() : this.#holding(() => this.#claim.tell(events));
  }

  checkpoint(step: string, data: Json): Promise<void> {
    return this.#holding(() => this.#claim.checkpoint(step, data));
  }

  end(outcome: Outcome): Promise<void> {
    return this.#ending(() => this.#claim.end(outcome));
  }

  endCanceled(): Promise<void> {
    return this.#ending(() => this.#claim.endCanceled());
  }

  retry(failure: StoredFailure, afterMs: number): Promise<void> {
    return this.#ending(() => this.#claim.retry(failure, afterMs));
  }

  handBack(): Promise<void> {
    return this.#ending(() => this.#claim.handBack());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await this.#keeping;
  }

  /** Who has given the lease up says nothing more: the store may not know yet, and would believe it. */
  async #holding(call: () => Promise<void>): Promise<void> {
    if (this.#isLost) throw leaseLost(this.job.jobId);
    try {
      await call();
    } catch (error) {
      if (error instanceof WorkerError && error.code === 'LEASE_LOST') this.#lose(error);
      throw error;
    }
  }

  async #ending(call: () => Promise<void>): Promise<void> {
    await this.#holding(call);
    this.#stopped.abort();
  }

  #lose(error: WorkerError): void {
    this.#isLost = true;
    this.#stopped.abort();
    this.#aborted.abort(error);
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stopped;
    const renewEveryMs = this.#leaseMs / 3;
    let renewAt = performance.now() + renewEveryMs;
    // Counted before each look: what rings while it looks is looked at again.
    let { rings } = this.#bell;
    // A cancel may have come since the job was taken.
    await this.#check(false);
    while (!signal.aborted) {
      try {
        await this.#bell.waitSince(rings, Math.max(0, renewAt - performance.now()), { signal });
      } catch {
        return; // stopped
      }
      const due = performance.now() >= renewAt;
      if (due) renewAt = performance.now() + renewEveryMs;
      ({ rings } = this.#bell);
      await this.#check(due);
    }
  }

  async #check(renew: boolean): Promise<void> {
    try {
      const claim = await (renew ? this.#claim.renew() : this.#claim.look());
      if (this.#stopped.signal.aborted) return;
      if (claim === 'lost') this.#lose(leaseLost(this.job.jobId));
      else if (renew) this.#heldAtMs = this.#now();
      if (claim === 'canceled' && !this.signal.aborted) {
        const { jobId } = this.job;
        this.#aborted.abort(new WorkerError('BUILD_CANCELED', `job ${jobId}: nobody wants it any more`, { jobId }));
      }
    } catch {
      // The store may answer again before the lease is over; later than that another may have the job.
      if (this.#now() - this.#heldAtMs > this.#leaseMs) this.#lose(leaseLost(this.job.jobId));
    }
  }
}
