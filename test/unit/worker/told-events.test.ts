import { expect, test } from 'vitest';
import type { UntimedJobEvent } from '../../../src/jobs/index.ts';
import { ToldEvents } from '../../../src/worker/run/told-events.ts';

function toldOf(events: readonly (UntimedJobEvent | number)[]) {
  let nowMs = 0;
  const told = new ToldEvents(() => nowMs);
  return events.flatMap((event) => {
    if (typeof event !== 'number') return told.of(event);
    nowMs += event;
    return [];
  });
}

test('states go forward, whatever order phases begin in', () => {
  const phase = (name: 'preparing' | 'packing' | 'pushing') =>
    ({ type: 'phase', phase: name, state: 'started' }) as const;
  const events = toldOf([phase('preparing'), phase('pushing'), phase('packing')]);
  expect(events.filter(({ kind }) => kind === 'state').map(({ what }) => what)).toEqual([
    { state: 'preparing' },
    { state: 'pushing' },
  ]);
});

test('steps and their output are told with times and streams', () => {
  const step = { step: 3, name: '[2/2] RUN make', isUserStep: true } as const;
  const events = toldOf([
    5,
    { type: 'buildkit', event: { type: 'step-started', ...step } },
    10,
    { type: 'buildkit', event: { type: 'log', step: 3, stream: 'stderr', text: 'ü', atMs: 1 } },
    { type: 'buildkit', event: { type: 'step-ended', ...step, outcome: 'failed', durationMs: 10, error: 'exit 1' } },
  ]);
  expect(events).toEqual([
    {
      timeMs: 5,
      phase: 'building',
      bytes: 0,
      kind: 'step',
      what: { id: '3', name: step.name, cached: false, startedAtMs: 5 },
    },
    { timeMs: 15, phase: 'building', bytes: 3, kind: 'log', what: { stepId: '3', stream: 2, data: 'ü\n' } },
    {
      timeMs: 15,
      phase: 'building',
      bytes: 0,
      kind: 'step',
      what: { id: '3', name: step.name, cached: false, startedAtMs: 5, completedAtMs: 15, error: 'exit 1' },
    },
  ]);
});

test('progress of one thing is told once a second', () => {
  const pushing = (doneBytes: number) => ({ type: 'pushing', digest: 'sha256:a', doneBytes, totalBytes: 9 }) as const;
  const events = toldOf([pushing(1), 500, pushing(2), 500, pushing(3)]);
  expect(events.map(({ bytes, phase }) => [phase, bytes])).toEqual([
    ['pushing', 1],
    ['pushing', 3],
  ]);
});
