import { expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import { type BackoffOptions, retrying } from '../../../src/registry/backoff.ts';
import { SYSTEM_CLOCK } from '../../../src/registry/clock.ts';
import { DEFAULT_LIMITS } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';

const signal = new AbortController().signal;
const unavailable = (details = {}) => new WorkerError('REGISTRY_UNAVAILABLE', 'down', details);

/** Time that only moves by sleeping. */
function heldClock() {
  const pauses: number[] = [];
  let nowMs = 0;
  const clock = {
    nowMs: () => nowMs,
    sleep: async (durationMs: number) => {
      pauses.push(durationMs);
      nowMs += durationMs;
      return Promise.resolve();
    },
    random: () => 0.5,
  };
  const options: BackoffOptions = {
    clock,
    log: silentLog(),
    limits: { ...DEFAULT_LIMITS, attempts: 4, pauseMs: 100, maxPauseMs: 300, retryBudgetMs: 10_000 },
  };
  return { pauses, options };
}

function failing(errors: readonly Error[]) {
  let tries = 0;
  const work = async () => {
    const error = errors[tries++];
    return error === undefined ? Promise.resolve('done') : Promise.reject(error);
  };
  return { work, tries: () => tries };
}

test('pauses grow to a ceiling and the result of the try that works is given', async () => {
  const { pauses, options } = heldClock();
  const { work } = failing([unavailable(), unavailable(), unavailable()]);
  expect(await retrying('x', { ...options, signal }, work)).toBe('done');
  expect(pauses).toEqual([75, 150, 225]);
});

test('after the last try the error itself is thrown', async () => {
  const { options } = heldClock();
  const errors = [1, 2, 3, 4].map((at) => unavailable({ at }));
  const { work, tries } = failing(errors);
  await expect(retrying('x', { ...options, signal }, work)).rejects.toBe(errors[3]);
  expect(tries()).toBe(4);
});

test('a final error is thrown at once', async () => {
  const { options } = heldClock();
  const { work, tries } = failing([new WorkerError('REGISTRY_DENIED', 'no')]);
  await expect(retrying('x', { ...options, signal }, work)).rejects.toMatchObject({ code: 'REGISTRY_DENIED' });
  expect(tries()).toBe(1);
});

test('a longer Retry-After is waited for, a shorter one does not shorten the pause', async () => {
  const { pauses, options } = heldClock();
  const { work } = failing([unavailable({ retryAfterMs: 4000 }), unavailable({ retryAfterMs: 1 })]);
  await retrying('x', { ...options, signal }, work);
  expect(pauses).toEqual([4000, 150]);
});

test('a Retry-After beyond the budget is not waited for', async () => {
  const { pauses, options } = heldClock();
  const { work, tries } = failing([new WorkerError('REGISTRY_THROTTLED', '429', { retryAfterMs: 60_000 })]);
  await expect(retrying('x', { ...options, signal }, work)).rejects.toMatchObject({ code: 'REGISTRY_THROTTLED' });
  expect([tries(), pauses]).toEqual([1, []]);
});

test('an abort ends the tries with its reason', async () => {
  const { options } = heldClock();
  const reason = new Error('enough');
  const abort = new AbortController();
  const work = () => {
    abort.abort(reason);
    return Promise.reject(unavailable());
  };
  await expect(retrying('x', { ...options, signal: abort.signal }, work)).rejects.toBe(reason);
});

test('the real clock wakes up with the reason of an abort', async () => {
  const reason = new Error('enough');
  const abort = new AbortController();
  const asleep = SYSTEM_CLOCK.sleep(60_000, { signal: abort.signal });
  abort.abort(reason);
  await expect(asleep).rejects.toBe(reason);
});
