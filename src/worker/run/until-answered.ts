import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors/index.ts';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2000;
/** A queue that is away for longer than any lease. */
const GIVE_UP_MS = 5 * 60_000;

/**
 * Asks a queue that does not answer again and again, for as long as the lease may still be ours: losing finished work costs
 * more than waiting. Throws LEASE_LOST once it is another's, and what else the call throws.
 */
export async function untilAnswered<T>(
  call: () => Promise<T>,
  { signal }: { readonly signal: AbortSignal },
): Promise<T> {
  const endMs = performance.now() + GIVE_UP_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
    try {
      return await call();
    } catch (thrown) {
      const isAway = thrown instanceof WorkerError && thrown.code === 'QUEUE_UNAVAILABLE';
      if (!isAway || isLost(signal) || performance.now() > endMs) throw thrown;
      await sleep(pauseMs);
    }
  }
}

/** A canceled job is still ours to end. */
export function isLost({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof WorkerError && reason.code === 'LEASE_LOST';
}
