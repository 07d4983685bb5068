import { expect, test } from 'vitest';
import { childSeconds, runMeasured } from '../../../src/bench/measure/run-measured.ts';
import { lineThrough, median, spreadOf } from '../../../src/bench/measure/statistics.ts';

test.for<[values: number[], expected: number]>([
  [[], 0],
  [[3], 3],
  [[9, 1, 5], 5],
  [[4, 1, 10, 2], 3],
])('the median of %j is %d', ([values, expected]) => {
  expect(median(values)).toBe(expected);
});

test('a spread is median, least and most', () => {
  expect(spreadOf([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5 });
});

test('a straight line is found, and points off it lower r²', () => {
  expect(
    lineThrough([
      [1, 5],
      [2, 7],
      [4, 11],
    ]),
  ).toEqual({ slope: 2, intercept: 3, r2: 1 });
  expect(
    lineThrough([
      [1, 5],
      [2, 9],
      [4, 11],
    ]).r2,
  ).toBeLessThan(1);
});

test.for<[booked: string, seconds: number]>([
  ['0m0.000000s 0m0.000000s\n1m2.500000s 0m0.250000s\nrchar: 1\n', 62.75],
  ['0m0.00s 0m0.00s\n0m0.40s 0m0.10s\n', 0.5],
])('what a shell says of its children is read (%#)', ([booked, seconds]) => {
  expect(childSeconds(booked)).toBe(seconds);
});

const signal = new AbortController().signal;

test('a program is measured with the children it waited for', async () => {
  const usage = await runMeasured(
    { command: ['/bin/sh', '-c', 'head -c 3000000 /dev/zero | wc -c; sleep 0.1'] },
    { signal },
  );
  expect(usage.stdout).toBe('3000000\n');
  expect(usage.readBytes).toBeGreaterThan(6_000_000); // by head, then by wc
  expect(usage.peakBytes).toBeGreaterThan(0);
});

test('a program that fails is BENCH_FAILED with its last words', async () => {
  await expect(runMeasured({ command: ['/bin/sh', '-c', 'echo oh >&2; exit 3'] }, { signal })).rejects.toMatchObject({
    code: 'BENCH_FAILED',
    message: expect.stringContaining('ended with 3: oh') as string,
  });
  await expect(runMeasured({ command: ['/no/such/program'] }, { signal })).rejects.toMatchObject({
    code: 'BENCH_FAILED',
  });
});

test('an abort ends the program and what it started', async () => {
  const stop = new AbortController();
  const running = runMeasured({ command: ['/bin/sh', '-c', 'sleep 100 & wait'] }, { signal: stop.signal });
  setTimeout(() => {
    stop.abort(new Error('stopped'));
  }, 100);
  await expect(running).rejects.toThrow('stopped');
});
