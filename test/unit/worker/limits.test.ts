import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { WorkerError } from '../../../src/errors/index.ts';
import { LimitWatch, type RunLimits } from '../../../src/worker/run/limits.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const NONE: RunLimits = { buildMs: undefined, phaseMs: {}, imageBytes: undefined, layers: undefined };

function watch(limits: Partial<RunLimits>, deadlineMs?: number) {
  const exceeded: WorkerError[] = [];
  const onExceeded = (error: WorkerError) => exceeded.push(error);
  return { exceeded, limit: new LimitWatch({ ...NONE, ...limits }, { deadlineMs, now: () => Date.now(), onExceeded }) };
}

const phase = (name: 'building' | 'pushing', state: 'started' | 'ended') =>
  ({ type: 'phase', phase: name, state }) as const;

test('a phase has its own time, which ends with it', () => {
  const { exceeded, limit } = watch({ phaseMs: { building: 100, pushing: 50 } });
  limit.see(phase('building', 'started'));
  vi.advanceTimersByTime(90);
  limit.see(phase('building', 'ended'));
  vi.advanceTimersByTime(90);
  expect(exceeded).toEqual([]);
  limit.see(phase('pushing', 'started'));
  vi.advanceTimersByTime(60);
  expect(exceeded).toMatchObject([{ code: 'DEADLINE_EXCEEDED', details: { limit: 'pushing', phase: 'pushing' } }]);
});

test('the whole build and the deadline of who submitted it name the phase they ran out in', () => {
  const whole = watch({ buildMs: 100 });
  whole.limit.see(phase('building', 'started'));
  vi.advanceTimersByTime(101);
  expect(whole.exceeded).toMatchObject([{ details: { limit: 'build', phase: 'building' } }]);
  const late = watch({}, Date.now() - 1);
  vi.advanceTimersByTime(1);
  expect(late.exceeded).toMatchObject([{ details: { limit: 'deadline', phase: 'preparing' } }]);
});

test('an image that is too large or has too many layers is stopped once', () => {
  const { exceeded, limit } = watch({ imageBytes: 10, layers: 2 });
  const blob = (digest: string, sizeBytes: number) =>
    ({
      type: 'buildkit',
      event: { type: 'blob', state: 'started', digest: `sha256:${digest}`, sizeBytes, doneBytes: 0, via: undefined },
    }) as never;
  limit.see(blob('a', 6));
  limit.see(blob('a', 6));
  expect(exceeded).toEqual([]);
  limit.see(blob('b', 5));
  limit.see(blob('c', 5));
  expect(exceeded).toMatchObject([{ code: 'LIMIT_EXCEEDED', details: { limit: 'image-bytes' } }]);
  const layers = watch({ imageBytes: 10, layers: 2 });
  for (const diffId of ['a', 'b', 'b', 'a']) layers.limit.see({ type: 'layer', diffId } as never);
  expect(layers.exceeded).toEqual([]);
  for (const diffId of ['c', 'd']) layers.limit.see({ type: 'layer', diffId } as never);
  expect(layers.exceeded).toMatchObject([{ code: 'LIMIT_EXCEEDED', details: { limit: 'layers' } }]);
});

test('nothing is exceeded after the end', () => {
  const { exceeded, limit } = watch({ buildMs: 10 });
  limit[Symbol.dispose]();
  vi.advanceTimersByTime(100);
  expect(exceeded).toEqual([]);
});
