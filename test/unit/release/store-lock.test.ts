import { describe, expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import { type Holder, NO_LOCK, type RepositoryLock, release, storeLock } from '../../../src/release/index.ts';
import { type Call, MemoryRelease, REPOSITORY, requestFor } from '../../support/release/memory-release.ts';

const { signal } = new AbortController();

/** A lock in the ledger of a registry in memory, with a clock that goes on when it is told to. */
function stage({ machine = NO_LOCK, holder = 'other' }: { machine?: RepositoryLock; holder?: string } = {}) {
  const memory = new MemoryRelease();
  const { ledger } = memory.context();
  const clock = new ManualClock();
  const lock = storeLock({
    machine,
    ledgers: () => [ledger],
    holder: () => Promise.resolve({ id: holder, host: 'there', pid: 2, startedAt: '2' }),
    hasEnded: () => Promise.resolve(false),
    clock,
  });
  return { memory, lock, clock };
}

/** Time goes on by `pass` alone. */
class ManualClock {
  #nowMs = 1_700_000_000_000;
  #waiting: { readonly untilMs: number; readonly wake: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  async sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void> {
    options.signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ untilMs: this.#nowMs + ms, wake: resolve });
      options.signal.addEventListener('abort', () => {
        reject(options.signal.reason as Error);
      });
    });
  }

  deadline(ms: number): AbortSignal {
    const controller = new AbortController();
    const wake = () => {
      controller.abort(new WorkerError('STORE_UNAVAILABLE', 'too late'));
    };
    this.#waiting.push({ untilMs: this.#nowMs + ms, wake });
    return controller.signal;
  }

  /** In steps, so that whoever wakes can go on before the next. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1000) {
      this.#nowMs += 1000;
      const due = this.#waiting.filter(({ untilMs }) => untilMs <= this.#nowMs);
      this.#waiting = this.#waiting.filter(({ untilMs }) => untilMs > this.#nowMs);
      for (const { wake } of due) wake();
      await new Promise(setImmediate);
    }
  }
}

const other: Holder = { id: 'third', host: 'far', pid: 3, startedAt: '3', untilMs: Number.MAX_SAFE_INTEGER };

describe('the lock that retention shares with releases of other machines', () => {
  test('R002-10: a release waits until a retention is done, and writes nothing before', async () => {
    const { lock, memory } = stage();
    memory.tags.set('abc123def', memory.addImage('the commit'));
    const held = await lock.hold(REPOSITORY, { signal });
    let waits = 0;
    const before = async ({ what }: Call) => {
      if (what !== 'sleep' || ++waits < 3) return;
      expect(memory.calls.filter((call) => call.what === 'put')).toEqual([]);
      await held[Symbol.asyncDispose]();
    };
    await release(requestFor({ commit: 'abc123def' }), memory.context({ before }));
    expect(waits).toBe(3);
    expect(memory.calls.filter(({ what }) => what === 'put').map(({ name }) => name)).toEqual(['v1.0.0', 'latest']);
    expect(memory.ledger.content.lock).toBeUndefined();
  });

  test('R002-10: it is held for as long as it takes, whatever was released before stays known, and it is given back', async () => {
    const { clock, lock, memory } = stage();
    const done = { digest: memory.addImage('x'), state: 'done', at: '2026-01-01T00:00:00Z' } as const;
    memory.ledger = { ...memory.ledger, content: { v: 1, releases: { '1.0.0': done } } };
    const held = await lock.hold(REPOSITORY, { signal });
    for (let minutes = 0; minutes < 30; minutes++) {
      await clock.pass(60_000);
      expect(memory.ledger.content.lock?.untilMs).toBeGreaterThan(clock.nowMs() + 30_000);
    }
    expect(held.signal.aborted).toBe(false);
    await held[Symbol.asyncDispose]();
    expect(memory.ledger.content).toEqual({ v: 1, releases: { '1.0.0': done } });
  });

  test('R002-10: its signal ends where another took it, and before its time is over where the store is gone', async () => {
    const { clock, lock, memory } = stage();
    const taken = await lock.hold(REPOSITORY, { signal });
    memory.ledger = { content: { ...memory.ledger.content, lock: other }, etag: memory.ledger.etag + 1 };
    await clock.pass(20_000);
    expect(taken.signal.reason).toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await taken[Symbol.asyncDispose]();
    expect(memory.ledger.content.lock).toEqual(other);

    memory.ledger = { content: { v: 1, releases: {} }, etag: 7 };
    const cut = await lock.hold(REPOSITORY, { signal });
    const untilMs = memory.ledger.content.lock?.untilMs ?? 0;
    memory.before = () => {
      throw new WorkerError('STORE_UNAVAILABLE', 'gone');
    };
    await clock.pass(40_000);
    expect(cut.signal.aborted).toBe(false);
    await clock.pass(untilMs - clock.nowMs() - 30_000);
    expect(cut.signal.reason).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    // What was done under it stands.
    await cut[Symbol.asyncDispose]();
  });

  test('R002-10: this machine is asked first, and its lock is given back when the store refuses', async () => {
    const seen: string[] = [];
    const machine: RepositoryLock = {
      hold: (_, options) => {
        seen.push('taken');
        const given = () => {
          seen.push('given back');
          return Promise.resolve();
        };
        return Promise.resolve({ signal: options.signal, [Symbol.asyncDispose]: given });
      },
    };
    const { lock, memory } = stage({ machine });
    memory.before = () => {
      seen.push('store');
      throw new WorkerError('STORE_DENIED', 'read only');
    };
    await expect(lock.hold(REPOSITORY, { signal })).rejects.toMatchObject({ code: 'STORE_DENIED' });
    expect(seen).toEqual(['taken', 'store', 'given back']);
  });
});
