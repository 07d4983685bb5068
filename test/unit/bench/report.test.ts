import { expect, test } from 'vitest';
import { BenchDocument, drawCharts, phaseTable, renderPage } from '../../../src/bench/index.ts';
import { benchDocument } from '../../../src/bench/report/document.ts';
import { mountRatios } from '../../../src/bench/report/mount-ratios.ts';
import { mountResult } from '../../../src/bench/report/mount-result.ts';
import { benchTables } from '../../../src/cli/actions/bench-tables.ts';

const run = (seconds: number) => ({ seconds, cpuSeconds: seconds, peakBytes: 1e8, readBytes: 1e6 });
const idle = () => Promise.reject(new Error('not run'));
const document = benchDocument({
  bench: 'pipeline',
  input: { sizeBytes: 1, note: '<script>alert(1)</script>' },
  rounds: 3,
  link: { bytesPerSecond: 11_250_000, roundTripMs: 20 },
  peer: 'buildkit-gzip-clip',
  results: [
    {
      contender: { id: 'clipyard', title: 'ours', run: idle },
      runs: [1, 3, 2].map((seconds) => ({ ...run(seconds), phases: { build: seconds / 2, push: 1, index: 1 } })),
      traffic: { sentBytes: 5, receivedBytes: 6 },
      nodes: 7,
    },
    {
      contender: { id: 'buildkit-gzip-clip', title: 'theirs', run: idle },
      runs: [{ ...run(8), phases: { build: 4, push: 2, index: 2, upload: 0.01 } }],
      traffic: undefined,
      nodes: 7,
    },
    {
      contender: { id: 'other', title: 'absent', unavailable: 'not built', run: idle },
      runs: [],
      traffic: undefined,
      nodes: undefined,
    },
  ],
});

test('a result keeps to its schema through JSON', () => {
  expect(BenchDocument.parse(JSON.parse(JSON.stringify(document)))).toEqual(document);
  expect(document.contenders).toMatchObject([
    { id: 'clipyard', seconds: { median: 2, min: 1, max: 3 }, ratio: 0.25, sentBytes: 5, nodes: 7 },
    { id: 'buildkit-gzip-clip', ratio: 1 },
    { id: 'other', unavailable: 'not built', runs: [] },
  ]);
});

test('the phase table says before, after and what was saved', () => {
  expect(phaseTable(document, 'buildkit-gzip-clip', 'clipyard')).toEqual([
    { phase: 'build', beforeSeconds: 4, afterSeconds: 1, savedPercent: 75 },
    { phase: 'push', beforeSeconds: 2, afterSeconds: 1, savedPercent: 50 },
    { phase: 'index', beforeSeconds: 2, afterSeconds: 1, savedPercent: 50 },
    { phase: 'upload', beforeSeconds: 0.01, afterSeconds: undefined, savedPercent: undefined },
    { phase: 'total', beforeSeconds: 8, afterSeconds: 2, savedPercent: 75 },
  ]);
  expect(phaseTable(document, 'other', 'clipyard')).toEqual([]);
});

test('the page needs nothing but itself, and shows text as text', async () => {
  const charts = await drawCharts(document);
  const page = renderPage(document, { charts, tables: benchTables(document, []) });
  expect(charts.length).toBeGreaterThan(3);
  expect(page.match(/<svg/g)).toHaveLength(charts.length);
  expect(page).not.toMatch(/https?:|<script|<link|<img|src=|url\(|@import/);
  expect(page).toContain('not available: not built');
});

test('a scale result draws time and memory', async () => {
  const spread = { median: 1, min: 1, max: 1 };
  const step = { seconds: spread, cpuSeconds: spread, peakBytes: 1e7 };
  const point = (plainBytes: number) => ({
    series: 'bytes' as const,
    codec: 'zstd:1',
    plainBytes,
    entries: 10,
    pack: { ...step, blobBytes: 1 },
    assemble: { ...step, archiveBytes: 1 },
  });
  const scale = BenchDocument.parse({ ...document, bench: 'scale', contenders: [], points: [point(1e9), point(2e9)] });
  expect((await drawCharts(scale)).map(({ title }) => title)).toEqual([
    'Time over bytes: pack and assemble',
    'Peak memory over bytes',
  ]);
});

test('a mount result has medians, what came from nothing, and a chart an operation', async () => {
  const open = () => Promise.reject(new Error('not run'));
  const operation = (name: string, seconds: number) => ({
    ...{
      name,
      coldSeconds: seconds,
      warmSeconds: seconds / 10,
      mountSeconds: 1,
      fromMountSeconds: undefined,
      servedSeconds: 0.01,
    },
    ...{ mountReceivedBytes: 3, receivedBytes: 4, mountedBytes: 5, peakBytes: 6 },
  });
  const contender = { id: 'erofs', title: 'ours', opensForEach: true, open };
  const runs = [1, 3, 2].flatMap((seconds) => [operation('walk', seconds), operation('random', 2 * seconds)]);
  const counted = [operation('walk', 9), operation('random', 9)];
  const mount = mountResult({ contender, counted, timed: runs });
  expect(mount).toMatchObject({
    ...{ seconds: { median: 1 }, servedSeconds: { max: 0.01 }, receivedBytes: 3, mountedBytes: 5, peakBytes: 6 },
    operations: [
      { name: 'walk', coldSeconds: { median: 2, min: 1, max: 3 }, fromNothingSeconds: { median: 3 }, receivedBytes: 4 },
      { name: 'random', coldSeconds: { median: 4 }, fromNothingSeconds: { median: 5 } },
    ],
  });
  if (mount === undefined) throw new Error('it ran');
  const slower = { ...mount, operations: mount.operations.map((each) => ({ ...each, receivedBytes: 8 })) };
  const ratios = mountRatios({ id: 'erofs', mount }, [
    { id: 'erofs', mount },
    { id: 'overlayfs', mount: { ...slower, seconds: { median: 4, min: 4, max: 4 }, mountedBytes: undefined } },
  ]);
  expect(ratios).toEqual({
    overlayfs: {
      ...{ seconds: 0.25, served: 1 },
      operations: {
        walk: { cold: 1, warm: 1, fromNothing: 1, received: 0.5 },
        random: { cold: 1, warm: 1, fromNothing: 1, received: 0.5 },
      },
    },
  });
  const absent = { ...contender, id: 'clip', unavailable: 'not built' };
  expect(mountResult({ contender: absent, counted: [], timed: [] })).toBeUndefined();
  const whole = BenchDocument.parse({
    ...document,
    bench: 'mount',
    contenders: [
      { id: 'erofs', title: 'ours', mount, ratios, runs: [] },
      { id: 'clip', title: 'theirs', unavailable: 'not built', runs: [] },
    ],
  });
  const charts = await drawCharts(whole);
  expect(charts.map(({ title }) => title)).toContain('walk: from nothing to done, cold and warm on a mount');
  const page = renderPage(whole, { charts, tables: benchTables(whole, []) });
  expect(page).toContain('not available: not built');
  expect(page).toContain('2.000 / 0.200');
  expect(page).toContain('× overlayfs, warm');
  expect(charts.map(({ title }) => title)).toContain('Times overlayfs, warm: below 1 is quicker');
});
