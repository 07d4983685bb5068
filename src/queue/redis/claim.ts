import type { QueueSettings } from '../build-queue.ts';
import { type Claim, type ClaimStore, leaseLost } from '../held-lease.ts';
import { canceledEvent, endEvent, handedBackEvent, retryEvent } from '../own-events.ts';
import { abandoned } from '../own-failures.ts';
import type { Job, NewEvent, Outcome } from '../records.ts';
import type { BuildState } from '../states.ts';
import type { Store } from './store.ts';

/** How the scripts end a job. */
export const endOf = (outcome: Outcome, timeMs: number) => ({
  state: outcome.state,
  event: JSON.stringify(endEvent(timeMs, outcome)),
  ...(outcome.state === 'done'
    ? { result: JSON.stringify(outcome.result) }
    : { failure: JSON.stringify(outcome.failure) }),
});

export const canceledEnd = (timeMs: number) => ({
  state: 'canceled',
  event: JSON.stringify(canceledEvent(timeMs, 'nobody wanted it any more')),
});

export const deadEnd = (...[attempts, phase, last, timeMs]: [...Parameters<typeof abandoned>, number]) => ({
  ...endOf({ state: 'failed', failure: abandoned(attempts, phase, last) }, timeMs),
  dead: true,
});

export function claimStore(store: Store, settings: QueueSettings, job: Job, token: string): ClaimStore {
  const { now, leaseMs, maxAttempts } = settings;
  const id = job.jobId;
  let calls = 0;
  let before: Promise<unknown> = Promise.resolve();

  // One after another: a call that is sent again after a broken connection must not pass the next.
  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    const result = before.then(work, work);
    before = result;
    return result;
  };
  const ask = async (renew: boolean): Promise<Claim> => {
    // A server that is away for a lease is no reason to wait longer for its answer.
    const signal = AbortSignal.timeout(leaseMs);
    return (await store.call('look', { id, token, renew, now: now(), leaseMs }, { signal })) as Claim;
  };
  const held = async (script: 'tell' | 'release', args: object): Promise<void> => {
    const answer = await store.call(script, { id, token, now: now(), ...args }, { signal: store.closed });
    if (answer === 'lost') throw leaseLost(id);
  };
  const tell = (args: object) => {
    calls += 1;
    const call = calls;
    return inOrder(() => held('tell', { call, ...args }));
  };
  const release = (args: object) => inOrder(() => held('release', args));

  return {
    look: () => ask(false),
    renew: () => ask(true),
    tell: (events) => tell({ events: events.map((it) => JSON.stringify(it)), ...lastState(events) }),
    checkpoint: (step, data) => tell({ entry: JSON.stringify({ step, attempt: job.attempt, timeMs: now(), data }) }),
    end: (outcome) => release({ finish: endOf(outcome, now()) }),
    endCanceled: () => release({ finish: canceledEnd(now()) }),
    retry: (failure, afterMs) => {
      const availableAt = now() + afterMs;
      const event = JSON.stringify(retryEvent(now(), failure, availableAt));
      return job.attempt >= maxAttempts
        ? release({ finish: deadEnd(job.attempt, failure.phase, failure, now()) })
        : release({ back: { event, availableAt, counts: true }, canceled: canceledEnd(now()) });
    },
    handBack: () =>
      release({
        back: { event: JSON.stringify(handedBackEvent(now())), counts: false },
        canceled: canceledEnd(now()),
      }),
  };
}

function lastState(events: readonly NewEvent[]): { readonly state?: BuildState } {
  const last = events.findLast(({ kind }) => kind === 'state');
  return last === undefined ? {} : { state: last.phase };
}
