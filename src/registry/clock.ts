import { setTimeout as sleep } from 'node:timers/promises';
import type { Cancelable } from '../errors/index.ts';

/** Time and chance, so that tests can hold them. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  sleep(durationMs: number, options: Cancelable): Promise<void>;
  /** At least 0, less than 1. */
  random(): number;
}

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => Date.now(),
  sleep: async (durationMs, { signal }) => {
    await sleep(durationMs, undefined, { signal }).catch(() => {
      signal.throwIfAborted();
    });
  },
  random: () => Math.random(),
};
