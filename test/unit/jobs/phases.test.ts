import { expect, test } from 'vitest';
import { PhaseClock } from '../../../src/jobs/phases.ts';

test('a phase lasts from its first start to its last end, and phases may overlap', async () => {
  let time = 100;
  const clock = new PhaseClock(() => time);
  clock.start('packing');
  time = 110;
  clock.start('pushing');
  clock.addBytes('pushing', 5);
  time = 130;
  clock.end('packing');
  clock.addBytes('pushing', 6);
  time = 150;
  clock.start('pushing');
  clock.end('pushing');
  await expect(clock.during('publishing', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(clock.phases()).toEqual([
    { name: 'packing', startMs: 0, durationMs: 30, bytes: 0 },
    { name: 'pushing', startMs: 10, durationMs: 40, bytes: 11 },
    { name: 'publishing', startMs: 50, durationMs: 0, bytes: 0 },
  ]);
});

test('a phase that was marked ends where it was marked last, however late somebody ends it', () => {
  let time = 0;
  const clock = new PhaseClock(() => time);
  clock.start('pushing');
  for (const at of [10, 20]) {
    time = at;
    clock.mark('pushing');
  }
  time = 99;
  clock.end('pushing');
  expect(clock.phases()).toEqual([{ name: 'pushing', startMs: 0, durationMs: 20, bytes: 0 }]);
});
