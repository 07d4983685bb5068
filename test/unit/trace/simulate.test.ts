import { expect, test } from 'vitest';
import { measuredLink, profileOf, simulate } from '../../../src/trace/index.ts';
import { CHUNK, madeLayer, touchOf, traceOf } from './made-trace.ts';

const STORED = CHUNK / 2;
/** A chunk takes 10 ms to begin and 1 ms to pass. */
const link = { firstByteUs: 10_000, bytesPerSecond: STORED * 1000 };
const layers = [madeLayer('a', 400), madeLayer('b', 40)];
/** Far apart, 20 ms between them. */
const scattered = traceOf(
  layers,
  [0, 50, 100, 150].map((chunk, at) => touchOf(layers, 0, chunk, { atUs: at * 20_000 })),
);

test('scattered reads fetch a chunk each and wait for it', () => {
  expect(simulate(scattered, layers, { link })).toEqual({
    requests: 4,
    fetchedBytes: 4 * STORED,
    waits: 4,
    waitUs: 4 * 11_000,
    endUs: 60_000 + 4 * 11_000,
  });
});

test('a profile fetches the same bytes before they are read', () => {
  const profile = profileOf(scattered).chunks.map(({ digest }) => digest);
  const run = simulate(scattered, layers, { link, profile });
  expect(run).toMatchObject({ fetchedBytes: 4 * STORED, waits: 1, waitUs: 11_000 });
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

test('a reader from front to back is read ahead for in growing windows', () => {
  const trace = traceOf(
    layers,
    Array.from({ length: 9 }, (_, at) => touchOf(layers, 0, at, { atUs: at * 100_000 })),
  );
  // Misses at 0 and 1; windows of 1, 2, 4 and 8 chunks behind them.
  expect(simulate(trace, layers, { link })).toMatchObject({ requests: 6, fetchedBytes: 17 * STORED, waits: 2 });
  expect(simulate(trace, layers, { link, readAhead: false })).toMatchObject({ requests: 9, waits: 9 });
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
