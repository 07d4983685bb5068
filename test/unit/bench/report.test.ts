import { expect, test } from 'vitest';
import { BenchDocument, drawCharts, phaseTable, renderPage } from '../../../src/bench/index.ts';
import { benchDocument } from '../../../src/bench/report/document.ts';
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
