import { expect, test } from 'vitest';
import { type ErrorCode, WorkerError } from '../../../src/errors/index.ts';
import { retryDelayMs } from '../../../src/worker/run/retry-policy.ts';

const policy = { maxAttempts: 4, maxDelayMs: 10_000 };
const delay = (code: ErrorCode, attempt = 1, random = 1, details = {}) =>
  retryDelayMs(new WorkerError(code, 'x', details), { attempt, random }, policy);

test.for<[code: ErrorCode, delayMs: number | undefined]>([
  ['REGISTRY_UNAVAILABLE', 1000],
  ['BUILDKIT_UNAVAILABLE', 1000],
  ['BUILDKIT_SESSION_LOST', 1000],
  ['REGISTRY_THROTTLED', 5000],
  ['REGISTRY_STALLED', 2000],
  ['STORE_CONFLICT', 1000],
  ['BUILD_STEP_FAILED', undefined],
  ['SOURCE_DENIED', undefined],
  ['LIMIT_EXCEEDED', undefined],
  ['FENCE_LOST', undefined],
  ['INTERNAL', undefined],
])('%s is tried again after %s ms', ([code, delayMs]) => {
  expect(delay(code)).toBe(delayMs);
});

test('pauses double up to the longest, and end with the attempts', () => {
  expect([1, 2, 3, 4].map((attempt) => delay('REGISTRY_THROTTLED', attempt))).toEqual([
    5000,
    10_000,
    10_000,
    undefined,
  ]);
});

test('what failed together comes back apart', () => {
  expect(delay('REGISTRY_UNAVAILABLE', 1, 0)).toBe(500);
  expect(delay('REGISTRY_UNAVAILABLE', 1, 0.5)).toBe(750);
});

test('a limit that ran out is not tried again, though its code would be', () => {
  expect(delay('DEADLINE_EXCEEDED')).toBe(2000);
  expect(delay('DEADLINE_EXCEEDED', 1, 1, { limit: 'building' })).toBeUndefined();
});
