import type { Category, WorkerError } from '../../errors/index.ts';
import { canRetry } from './failure.ts';

export interface RetryPolicy {
  /** Attempts in all. */
  readonly maxAttempts: number;
  /** Of the longest pause. */
  readonly maxDelayMs: number;
}

/** The first pause by what went wrong: a server that comes back, one that wants to be left alone, somebody else at work. */
const FIRST_DELAY_MS: Readonly<Partial<Record<Category, number>>> = {
  unavailable: 1000,
  exhausted: 5000,
  deadline: 2000,
  conflict: 1000,
  data_loss: 1000,
};

/**
 * How long a job waits for its next attempt; undefined: it has failed. Decided by the error's code alone. The pause doubles
 * with each attempt; `random` (0 to 1) spreads it over its second half, so that what failed together does not come back together.
 */
export function retryDelayMs(
  error: WorkerError,
  { attempt, random }: { readonly attempt: number; readonly random: number },
  { maxAttempts, maxDelayMs }: RetryPolicy,
): number | undefined {
  const firstMs = FIRST_DELAY_MS[error.category];
  if (!canRetry(error) || firstMs === undefined || attempt >= maxAttempts) return undefined;
  const fullMs = Math.min(maxDelayMs, firstMs * 2 ** Math.max(0, attempt - 1));
  return Math.round(fullMs * (0.5 + random / 2));
}
