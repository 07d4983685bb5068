import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { Holder, LedgerContent, LedgerPort } from './ledger.ts';

export interface LockContext extends Cancelable {
  readonly ledger: LedgerPort;
  readonly holder: Omit<Holder, 'untilMs'>;
  /** Whether a holder is known to be gone for good. */
  readonly hasEnded: (holder: Holder) => Promise<boolean>;
  readonly clock: LockClock;
}

export interface LockClock {
  /** Milliseconds since 1970. */
  nowMs(): number;
  sleep(ms: number, options: Cancelable): Promise<void>;
  /** A signal that is aborted after so long. */
  deadline(ms: number): AbortSignal;
}

export interface LedgerLock {
  /** As it was when the lock was taken. */
  readonly content: LedgerContent;
  /** Ends before another may take the lock. */
  readonly signal: AbortSignal;
  /** Changes the content and keeps the lock. Throws REPOSITORY_LOCKED when the lock's time was over and another took it. */
  update(change: (content: LedgerContent) => LedgerContent): Promise<void>;
  /** Gives the lock its whole time again. Throws REPOSITORY_LOCKED when another took it. */
  extend(options: Cancelable): Promise<void>;
  /** Gives the lock back, with a changed content in the same write. */
  release(change: (content: LedgerContent) => LedgerContent): Promise<void>;
}

/** A release writes three tags; two minutes are plenty, and what a lost machine keeps others waiting. */
export const LOCK_MS = 120_000;
/** Nothing is written in the last part of the time: clocks of machines differ. */
export const MARGIN_MS = 30_000;
/** Also a release that was stopped gives its lock back. */
const GIVE_BACK_MS = 15_000;
const WAIT_MS = 180_000;
const POLL_MS = 200;

/**
 * One writer a repository: registries have no conditional PUT, the ledger's object has. Throws REPOSITORY_LOCKED when another holds it for too long.
 */
export async function lockLedger(context: LockContext): Promise<LedgerLock> {
  const { clock, hasEnded, holder, ledger, signal } = context;
  const giveUpMs = clock.nowMs() + WAIT_MS;
  for (;;) {
    signal.throwIfAborted();
    const { content, etag } = await ledger.read({ signal });
    const other = content.lock;
    // A repeated PUT whose first answer was lost conflicts with itself: then the lock is ours already.
    if (other?.id === holder.id) return heldLock(content, context);
    if (other === undefined || other.untilMs <= clock.nowMs() || (await hasEnded(other))) {
      const held = { ...content, lock: { ...holder, untilMs: clock.nowMs() + LOCK_MS } };
      if (await wrote(held, etag, ledger, { signal })) return heldLock(content, context);
      continue;
    }
    if (clock.nowMs() >= giveUpMs)
      throw new WorkerError(
        'REPOSITORY_LOCKED',
        `process ${other.pid} of ${other.host} is writing or deleting tags of this repository`,
      );
    await clock.sleep(POLL_MS, { signal });
  }
}

function heldLock(content: LedgerContent, { clock, holder, ledger, signal }: LockContext): LedgerLock {
  const changed = async (change: (content: LedgerContent) => LedgerContent, options: Cancelable): Promise<boolean> => {
    for (;;) {
      const now = await ledger.read(options);
      if (now.content.lock?.id !== holder.id) return false;
      if (await wrote(change(now.content), now.etag, ledger, options)) return true;
    }
  };
  return {
    content,
    signal: AbortSignal.any([signal, clock.deadline(LOCK_MS - MARGIN_MS)]),
    async update(change) {
      if (await changed((now) => ({ ...change(now), lock: now.lock }), { signal })) return;
      throw new WorkerError('REPOSITORY_LOCKED', 'the time to write tags was over, and another release took its turn');
    },
    async extend(options) {
      const renewed = { ...holder, untilMs: clock.nowMs() + LOCK_MS };
      if (await changed((now) => ({ ...now, lock: renewed }), options)) return;
      throw new WorkerError('REPOSITORY_LOCKED', 'the lock of this repository was lost: another took its turn');
    },
    async release(change) {
      // Where another took the lock, what is ours to say is said when its tags are looked at again.
      await changed((now) => ({ ...change(now), lock: undefined }), { signal: clock.deadline(GIVE_BACK_MS) });
    },
  };
}

async function wrote(
  content: LedgerContent,
  before: string | undefined,
  ledger: LedgerPort,
  options: Cancelable,
): Promise<boolean> {
  try {
    await ledger.write(content, before, options);
    return true;
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'STORE_CONFLICT') return false;
    throw thrown;
  }
}
