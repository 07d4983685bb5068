import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { Repository } from '../../registry/index.ts';
import type { RepositoryLock } from '../retag/index.ts';
import type { Holder, LedgerPort } from './ledger.ts';
import { type LedgerLock, LOCK_MS, type LockClock, lockLedger, MARGIN_MS } from './lock.ts';

export interface StoreLockOptions {
  /** Taken first, as a release does: who waits here is on this machine. */
  readonly machine: RepositoryLock;
  /** Of every store that a release to the repository may use, in an order that is the same for all. */
  readonly ledgers: (repository: Repository) => readonly LedgerPort[];
  readonly holder: () => Promise<Omit<Holder, 'untilMs'>>;
  /** Whether a holder is known to be gone for good. */
  readonly hasEnded: (holder: Holder) => Promise<boolean>;
  readonly clock: LockClock;
}

/** Four tries before nothing may be written any more. */
const EXTEND_MS = 20_000;

/**
 * The lock that releases take, of this machine and in the stores, for work that takes longer than a release: its time is extended again
 * and again, and its signal ends when that fails. Throws REPOSITORY_LOCKED, STORE_….
 */
export function storeLock({ clock, hasEnded, holder, ledgers, machine }: StoreLockOptions): RepositoryLock {
  return {
    async hold(repository, { signal }) {
      await using stack = new AsyncDisposableStack();
      stack.use(await machine.hold(repository, { signal }));
      const lost = new AbortController();
      const held = AbortSignal.any([signal, lost.signal]);
      const onLost = (why: unknown) => {
        lost.abort(why);
      };
      for (const ledger of ledgers(repository)) {
        const lock = await lockLedger({ ledger, holder: await holder(), hasEnded, clock, signal: held });
        stack.use(keep(lock, onLost, { clock, signal: held }));
      }
      const kept = stack.move();
      return { signal: held, [Symbol.asyncDispose]: () => kept.disposeAsync() };
    },
  };
}

interface KeepContext extends Cancelable {
  readonly clock: LockClock;
}

/** Extends the lock until it is disposed of, which gives it back. */
function keep(lock: LedgerLock, onLost: (why: unknown) => void, { clock, signal }: KeepContext): AsyncDisposable {
  const stop = new AbortController();
  const running = extendAgain(lock, { clock, signal: AbortSignal.any([signal, stop.signal]) }).catch(
    (thrown: unknown) => {
      if (!stop.signal.aborted) onLost(thrown);
    },
  );
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      // What was done stays done where the store is gone now; there the lock's time ends by itself.
      await lock.release((content) => content).catch(() => undefined);
    },
  };
}

async function extendAgain(lock: LedgerLock, { clock, signal }: KeepContext): Promise<never> {
  for (let untilMs = clock.nowMs() + LOCK_MS - MARGIN_MS; ; ) {
    await clock.sleep(EXTEND_MS, { signal });
    const nowMs = clock.nowMs();
    const deadline = clock.deadline(Math.max(0, untilMs - nowMs));
    try {
      await lock.extend({ signal: AbortSignal.any([signal, deadline]) });
      untilMs = nowMs + LOCK_MS - MARGIN_MS;
    } catch (thrown) {
      signal.throwIfAborted();
      const isTaken = thrown instanceof WorkerError && thrown.code === 'REPOSITORY_LOCKED';
      if (isTaken || clock.nowMs() + EXTEND_MS >= untilMs) throw thrown;
    }
  }
}
