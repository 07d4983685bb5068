import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LevelController } from '../../../src/jobs/level-controller.ts';
import { AUTO_TRAITS } from '../../../src/jobs/level-steering.ts';

const TICK_MS = 250;
const MB = 1e6;

interface Link {
  /** Plain bytes a second at level 1. */
  readonly packRate: number;
  /** Stored bytes a second; may change while the build runs. */
  readonly linkRate: (atMs: number) => number;
  readonly plainBytes: number;
  /** What level 1 makes of a plain byte. */
  readonly size: number;
  /** Stored bytes that wait from the start: a base layer. */
  readonly queuedBytes?: number;
}

interface Run {
  readonly seconds: number;
  readonly storedBytes: number;
  readonly levels: readonly number[];
}

/** A packer and a link in simulated time. `fixed`: the level stays. */
function simulate({ linkRate, packRate, plainBytes, queuedBytes = 0, size }: Link, fixed?: number): Run {
  const controller = new LevelController(AUTO_TRAITS);
  const levels: number[] = [];
  let [packed, written, moved, atMs] = [0, 0, 0, 0];
  const total = () => written + queuedBytes;
  while (packed < plainBytes || moved < total() - 1) {
    const level =
      fixed ??
      controller.next({
        atMs,
        movedBytes: moved,
        waitingBytes: total() - moved,
        packedBytes: packed,
        remainingBytes: plainBytes - packed,
        writtenBytes: written,
      });
    const traits = AUTO_TRAITS.find((one) => one.level === level) ?? AUTO_TRAITS[0];
    levels.push(level);
    const step = Math.min(plainBytes - packed, (packRate / traits.cost) * (TICK_MS / 1000));
    packed += step;
    written += step * size * traits.size;
    moved = Math.min(total(), moved + linkRate(atMs) * (TICK_MS / 1000));
    atMs += TICK_MS;
    if (atMs > 100 * 3600 * 1000) throw new Error('the simulated build does not end');
  }
  return { seconds: atMs / 1000, storedBytes: written, levels };
}

const link = (linkRate: number, over: Partial<Link> = {}): Link => ({
  packRate: 250 * MB,
  linkRate: () => linkRate,
  plainBytes: 2000 * MB,
  size: 0.4,
  ...over,
});

test('a link that drains faster than anything is packed keeps the weakest level', () => {
  expect(new Set(simulate(link(1000 * MB)).levels)).toEqual(new Set([1]));
});

test('a slow link gets smaller blobs and ends sooner than at the weakest level', () => {
  const slow = link(3 * MB);
  const [auto, weak] = [simulate(slow), simulate(slow, 1)];
  expect(auto.storedBytes).toBeLessThan(weak.storedBytes * 0.9);
  expect(auto.seconds).toBeLessThan(weak.seconds * 0.92);
  expect(Math.max(...auto.levels)).toBeGreaterThanOrEqual(9);
});

test('bytes that wait already leave time for a strong level', () => {
  const alone = simulate(link(60 * MB));
  const queued = simulate(link(60 * MB, { queuedBytes: 3000 * MB }));
  expect(queued.storedBytes).toBeLessThan(alone.storedBytes);
});

test('a link that becomes fast on the way is followed', () => {
  const { levels } = simulate(link(0, { plainBytes: 8000 * MB, linkRate: (atMs) => (atMs < 60_000 ? 4 : 2000) * MB }));
  expect(Math.max(...levels)).toBeGreaterThan(4);
  expect(levels.filter((level) => level === 1).length).toBeGreaterThan(4);
  expect(levels.at(-20)).toBeLessThan(Math.max(...levels));
});

test('a link that stands still for a while does not end in anything but a level', () => {
  const { levels } = simulate(link(0, { linkRate: (atMs) => (atMs > 5000 && atMs < 15_000 ? 0 : 10 * MB) }));
  expect(levels.every((level) => AUTO_TRAITS.some((traits) => traits.level === level))).toBe(true);
});

test('on no link does a build take noticeably longer than at the weakest level', () => {
  fc.assert(
    fc.property(
      fc.record({
        linkMb: fc.double({ min: 0.5, max: 2000, noNaN: true }),
        packMb: fc.double({ min: 20, max: 1500, noNaN: true }),
        plainMb: fc.double({ min: 1, max: 4000, noNaN: true }),
        size: fc.double({ min: 0.05, max: 1, noNaN: true }),
        queuedMb: fc.double({ min: 0, max: 500, noNaN: true }),
      }),
      ({ linkMb, packMb, plainMb, queuedMb, size }) => {
        const build: Link = {
          packRate: packMb * MB,
          linkRate: () => linkMb * MB,
          plainBytes: plainMb * MB,
          queuedBytes: queuedMb * MB,
          size,
        };
        const [auto, weak] = [simulate(build), simulate(build, 1)];
        expect(auto.seconds).toBeLessThanOrEqual(weak.seconds * 1.1 + 2);
        expect(auto.storedBytes).toBeLessThanOrEqual(weak.storedBytes + 1);
      },
    ),
    { numRuns: 300 },
  );
});

test('nothing known, the weakest level', () => {
  const controller = new LevelController(AUTO_TRAITS);
  const sample = { movedBytes: 0, waitingBytes: 0, packedBytes: 0, remainingBytes: 100, writtenBytes: 0 };
  expect(controller.next({ atMs: 0, ...sample })).toBe(1);
  expect(controller.next({ atMs: 250, ...sample })).toBe(1);
  expect(controller.next({ atMs: 250, ...sample })).toBe(1);
  expect(controller.linkBytesPerSecond).toBeUndefined();
});
