import { setTimeout as sleep } from 'node:timers/promises';
import { toWorkerError, WorkerError } from '../../errors/index.ts';
import type { Lease, NewEvent } from '../../queue/index.ts';
import { isLost } from './until-answered.ts';

export interface TellerOptions {
  /** Events wait this long for others to go with them. */
  readonly everyMs: number;
  /** Of output that waits to be told; more is left out of the live tail, and said to be. */
  readonly maxWaitingBytes: number;
  /** Of output in all; the rest is only in the log of the store. */
  readonly maxLogBytes: number;
  readonly now: () => number;
  /** Told once, when events can no longer be told: the job is lost. */
  readonly onLost: (reason: WorkerError) => void;
}

/** Events of one `tell`. */
const BATCH_EVENTS = 500;
/** Lines of one step are told together up to this. */
const MERGED_BYTES = 16 * 1024;
const RETRY_MS = 500;

/** Tells events in order and in batches, in bounded memory: what a step prints never waits for a slow queue. */
export class Teller {
  readonly #lease: Lease;
  readonly #options: TellerOptions;
  #waiting: NewEvent[] = [];
  #waitingBytes = 0;
  #logBytes = 0;
  #leftOutLines = 0;
  #saidCut = false;
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lost: WorkerError | undefined;

  constructor(lease: Lease, options: TellerOptions) {
    this.#lease = lease;
    this.#options = options;
  }

  push(event: NewEvent): void {
    if (this.#lost !== undefined) return;
    if (event.kind === 'log') this.#pushLog(event);
    else this.#waiting.push(event);
    this.#timer ??= setTimeout(() => void this.#flushOnce(), this.#options.everyMs);
  }

  /** Everything told so far is with the queue when it returns. Throws LEASE_LOST. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 && this.#lost === undefined) await this.#flushOnce();
    await this.#flushing;
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Nothing is told any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lost ??= new WorkerError('LEASE_LOST', 'the job has ended');
  }

  #pushLog(event: NewEvent): void {
    const { maxLogBytes, maxWaitingBytes } = this.#options;
    this.#logBytes += event.bytes;
    if (this.#logBytes > maxLogBytes) {
      if (!this.#saidCut) this.#waiting.push(this.#detail({ event: 'log-cut', maxLogBytes }, event));
      this.#saidCut = true;
      return;
    }
    if (this.#waitingBytes + event.bytes > maxWaitingBytes) {
      this.#leftOutLines += 1;
      return;
    }
    if (this.#leftOutLines > 0) {
      this.#waiting.push(this.#detail({ event: 'log-left-out', lines: this.#leftOutLines }, event));
      this.#leftOutLines = 0;
    }
    this.#waitingBytes += event.bytes;
    const last = this.#waiting.at(-1);
    const merged = last === undefined ? undefined : merge(last, event);
    if (merged === undefined) this.#waiting.push(event);
    else this.#waiting[this.#waiting.length - 1] = merged;
  }

  #detail(what: { readonly [name: string]: string | number }, { phase, timeMs }: NewEvent): NewEvent {
    return { timeMs, phase, bytes: 0, kind: 'detail', what };
  }

  async #flushOnce(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushing ??= this.#send().finally(() => {
      this.#flushing = undefined;
      if (this.#waiting.length > 0 && this.#lost === undefined)
        this.#timer ??= setTimeout(() => void this.#flushOnce(), this.#options.everyMs);
    });
    await this.#flushing;
  }

  /** A queue that does not answer is asked again, until the lease says that it is over. */
  async #send(): Promise<void> {
    const batch = this.#waiting.slice(0, BATCH_EVENTS);
    this.#waiting = this.#waiting.slice(BATCH_EVENTS);
    const logBytes = batch.reduce((sum, { bytes, kind }) => sum + (kind === 'log' ? bytes : 0), 0);
    while (batch.length > 0 && this.#lost === undefined) {
      try {
        await this.#lease.tell(batch);
        break;
      } catch (thrown) {
        const isBack = thrown instanceof WorkerError && thrown.code === 'QUEUE_UNAVAILABLE';
        if (!isBack || isLost(this.#lease.signal)) {
          this.#lost = toWorkerError(thrown, 'tell events');
          this.#options.onLost(this.#lost);
        } else await sleep(RETRY_MS);
      }
    }
    this.#waitingBytes -= logBytes;
  }
}

interface LogWhat {
  readonly stepId: string;
  readonly stream: number;
  readonly data: string;
}

/** Lines of one step and stream that wait together are one event. */
function merge(last: NewEvent, next: NewEvent): NewEvent | undefined {
  if (last.kind !== 'log' || last.bytes + next.bytes > MERGED_BYTES) return undefined;
  const [a, b] = [last.what, next.what] as unknown as readonly [LogWhat, LogWhat];
  if (a.stepId !== b.stepId || a.stream !== b.stream) return undefined;
  return { ...last, bytes: last.bytes + next.bytes, what: { ...a, data: a.data + b.data } };
}
