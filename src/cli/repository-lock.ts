import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ObjectStore } from '../objects/index.ts';
import {
  createRepositoryLock,
  hasEnded,
  type LockClock,
  type RepositoryLock,
  storeLedger,
  storeLock,
  thisHolder,
} from '../release/index.ts';
import type { CommandContext } from './context.ts';
import { objectStore } from './services.ts';

export const LOCK_CLOCK: LockClock = {
  nowMs: () => Date.now(),
  sleep: async (ms, options) => {
    await sleep(ms, undefined, options);
  },
  deadline: (ms) => AbortSignal.timeout(ms),
};

/** Of this machine and, through their ledgers, of all that use these stores: the one that releases take. */
export function repositoryLock(
  stores: readonly ObjectStore[],
  { settings }: Pick<CommandContext, 'settings'>,
): RepositoryLock {
  // Two that name the same stores take their locks in the same order.
  const ordered = stores.toSorted((one, other) => (one.url < other.url ? -1 : 1));
  return storeLock({
    machine: createRepositoryLock(settings.stateDir),
    ledgers: (repository) => ordered.map((store) => storeLedger(store, repository)),
    holder: thisHolder,
    hasEnded,
    clock: LOCK_CLOCK,
  });
}

/** The named ones, or the configured one, or the one that builds use by themselves where it is there; none for `false`. */
export function storesOf(named: readonly string[] | false, context: CommandContext): readonly ObjectStore[] {
  if (named === false) return [];
  if (named.length > 0) return named.map((url) => objectStore(context, url));
  const { settings } = context;
  const isThere = settings.store !== undefined || existsSync(`${settings.stateDir}/store`);
  return isThere ? [objectStore(context)] : [];
}
