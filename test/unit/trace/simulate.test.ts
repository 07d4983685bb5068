import { expect, test } from 'vitest';
import { measuredLink, profileOf, simulate } from '../../../src/trace/index.ts';
import { CHUNK, madeLayer, touchOf, traceOf } from './made-trace.ts';

const STORED = CHUNK / 2;
/** A chunk takes 4 ms to begin and 1 ms to pass: nothing is fetched for the sake of waits. */
const link = { firstByteUs: 4000, bytesPerSecond: STORED * 1000 };
/** Of 25 ms, 20 are long. */
const farLink = { ...link, firstByteUs: 25_000 };
const layers = [madeLayer('a', 400), madeLayer('b', 40)];
/** Far apart and at no equal steps, 20 ms between them. */
const scattered = traceOf(
  layers,
  [0, 50, 130, 170].map((chunk, at) => touchOf(layers, 0, chunk, { atUs: at * 20_000 })),
);

test('scattered reads fetch a chunk each and wait for it', () => {
  expect(simulate(scattered, layers, { link })).toEqual({
    requests: 4,
    fetchedBytes: 4 * STORED,
    waits: 4,
    waitUs: 4 * 5000,
    endUs: 60_000 + 4 * 5000,
  });
});

test('a profile fetches the same bytes before they are read', () => {
  const profile = profileOf(scattered).chunks.map(({ digest }) => digest);
  const run = simulate(scattered, layers, { link, profile });
  expect(run).toMatchObject({ fetchedBytes: 4 * STORED, waits: 1, waitUs: 5000 });
  const foreign = simulate(scattered, layers, { link, profile: ['AAAAAAAAAAAAAAAAAAAAAA'] });
  expect(foreign).toEqual(simulate(scattered, layers, { link }));
});

test('neighbours of one read share a request, of one chunk larger than another they come along', () => {
  const trace = traceOf(layers, [
    touchOf(layers, 1, 0, { chunkCount: 3 }),
    touchOf(layers, 1, 3, { atUs: 50_000 }),
    touchOf(layers, 0, 9, { atUs: 90_000 }),
  ]);
  const readAhead = false;
  expect(simulate(trace, layers, { link, readAhead })).toMatchObject({ requests: 3, fetchedBytes: 5 * STORED });
  const larger = simulate(trace, layers, { link, readAhead, chunksTogether: 4 });
  expect(larger).toMatchObject({ requests: 2, fetchedBytes: 8 * STORED, waits: 2 });
});

/** Reads of the kernel's 128 KiB, of which a trace has the first of each chunk. */
const full = (chunks: readonly number[]) =>
  traceOf(
    layers,
    chunks.map((chunk, at) => touchOf(layers, 0, chunk, { atUs: at * 100_000, length: CHUNK / 2 })),
  );

test('a reader from front to back waits once, and what is fetched ahead is half of what it read', () => {
  const run = simulate(full(Array.from({ length: 64 }, (_, at) => at)), layers, { link });
  expect(run.waits).toBe(1);
  expect(run.requests).toBeLessThan(32);
  expect(run.fetchedBytes).toBeGreaterThan(64 * STORED);
  expect(run.fetchedBytes).toBeLessThanOrEqual((64 + 64 / 4 + 8) * STORED);
  const without = simulate(full([0, 1, 2]), layers, { link, readAhead: false });
  expect(without).toMatchObject({ requests: 3, fetchedBytes: 3 * STORED, waits: 3 });
});

test('long reads that nothing follows waste no more than the budget', () => {
  const places = [0, 50, 130, 170, 260, 310, 380, 20, 90, 200, 340, 110];
  const { fetchedBytes } = simulate(full(places), layers, { link });
  expect(fetchedBytes).toBeGreaterThan(places.length * STORED);
  expect(fetchedBytes).toBeLessThanOrEqual(places.length * STORED * 1.25 + 2 ** 20);
});

test('equal steps are followed either way', () => {
  const steps = Array.from({ length: 30 }, (_, at) => at * 10);
  for (const chunks of [steps, steps.toReversed()]) {
    const touches = chunks.map((chunk, at) => touchOf(layers, 0, chunk, { atUs: at * 100_000 }));
    const run = simulate(traceOf(layers, touches), layers, { link });
    expect(run.waits).toBeLessThanOrEqual(5);
    expect(run.fetchedBytes).toBeLessThanOrEqual(34 * STORED);
  }
});

/** Small reads of 40 neighbours in an order that is none: the powers of 6 modulo 41. */
const cluster = Array.from({ length: 39 }).reduce<number[]>(
  (powers) => [...powers, ((powers.at(-1) ?? 1) * 6) % 41],
  [1],
);

test('over a link with long waits what lies around a read comes with it, once the link is known', () => {
  const touches = cluster.map((power, at) => touchOf(layers, 0, 100 + power, { atUs: at * 200_000 }));
  const near = simulate(traceOf(layers, touches), layers, { link });
  expect(near.waits).toBeGreaterThan(35);
  expect(near.fetchedBytes).toBeLessThan(50 * STORED);
  const far = simulate(traceOf(layers, touches), layers, { link: farLink });
  expect(far.waits).toBeLessThan(15);
  expect(far.requests).toBeLessThan(20);
  const dear = simulate(traceOf(layers, touches), layers, { link: { ...farLink, bytesPerSecond: 1e6 } });
  expect(dear.fetchedBytes).toBeLessThan(50 * STORED);
});

test('what lies unread over such a link is bounded by what was read and what is worth twelve waits', () => {
  const places = Array.from({ length: 16 }, (_, at) => (at * 37 * 5) % 400);
  const touches = places.map((chunk, at) => touchOf(layers, 0, chunk, { atUs: at * 200_000 }));
  const hardlyFar = { ...link, firstByteUs: 6000 };
  const { fetchedBytes } = simulate(traceOf(layers, touches), layers, { link: hardlyFar });
  // In two waits come 12 chunks; a sixth of it is what of a wait is long.
  const most = places.length * STORED * 1.25 + 2 ** 20 + 12 * 2 * STORED;
  expect(fetchedBytes).toBeGreaterThan(places.length * STORED);
  expect(fetchedBytes).toBeLessThanOrEqual(most);
});

test('one frame is fetched whole, once', () => {
  const one = { ...madeLayer('c', 80), spans: [{ storedBytes: 80 * STORED, plainBytes: 80 * CHUNK }] };
  const trace = traceOf([one], [touchOf([one], 0, 70), touchOf([one], 0, 3, { atUs: 10 })]);
  expect(simulate(trace, [one], { link })).toMatchObject({ requests: 1, fetchedBytes: 80 * STORED });
});

test('no trace leads to a division by nothing', () => {
  expect(simulate(traceOf(layers, []), layers, { link })).toMatchObject({ requests: 0, endUs: 0 });
  expect(measuredLink(traceOf(layers, []), layers).bytesPerSecond).toBeGreaterThan(0);
  const { bytesPerSecond, firstByteUs } = measuredLink(
    traceOf(layers, [touchOf(layers, 0, 1, { waitUs: 12_000 })]),
    layers,
  );
  expect([firstByteUs > 0, bytesPerSecond > 0]).toEqual([true, true]);
});
