import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Clock } from './clock.ts';
import type { RegistryLimits } from './limits.ts';

export interface BackoffOptions {
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly log: Log;
}

/** The one place that decides whether a failed operation is tried again, and when. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #what: string;
  #endMs: number;
  #failures = 0;

  constructor(what: string, options: BackoffOptions) {
    this.#what = what;
    this.#options = options;
    this.#endMs = options.clock.nowMs() + options.limits.retryBudgetMs;
  }

  /** Something moved: the count and the budget start again. */
  progressed(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#endMs = this.#options.clock.nowMs() + this.#options.limits.retryBudgetMs;
  }

  /** Waits until the next try. Throws what was thrown when there must not be another one. */
  async pause(thrown: unknown, { signal }: Cancelable): Promise<void> {
    signal.throwIfAborted();
    const { limits, clock, log } = this.#options;
    this.#failures++;
    if (!(thrown instanceof WorkerError) || !thrown.retryable || this.#failures >= limits.attempts) throw thrown;
    const asked = thrown.details['retryAfterMs'];
    const ceiling = Math.min(limits.maxPauseMs, limits.pauseMs * 2 ** (this.#failures - 1));
    // Half fixed, half by chance: clients that failed together do not come back together.
    const own = ceiling / 2 + (ceiling / 2) * clock.random();
    const pauseMs = Math.ceil(typeof asked === 'number' ? Math.max(asked, own) : own);
    if (clock.nowMs() + pauseMs > this.#endMs) throw thrown;
    log.debug({ code: thrown.code, attempt: this.#failures, pauseMs, what: this.#what }, 'registry retry');
    await clock.sleep(pauseMs, { signal });
  }
}

/** Tries until it works, the error is final, or tries or time run out. `work` may be run several times. */
export async function retrying<T>(
  what: string,
  options: BackoffOptions & Cancelable,
  work: () => Promise<T>,
): Promise<T> {
  const backoff = new Backoff(what, options);
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      await backoff.pause(thrown, options);
    }
  }
}
