import type {
  BenchDocument,
  ContenderResult,
  PageTable,
  PhaseRow,
  ReleaseSavings,
  ScalePoint,
} from '../../bench/index.ts';
import { formatBytes } from '../output.ts';
import { mountTables } from './mount-bench-tables.ts';

/** What a person reads of a result, in a terminal and on the page. */
export function benchTables(document: BenchDocument, phases: readonly PhaseRow[]): readonly PageTable[] {
  if (document.bench === 'mount') return mountTables(document);
  if (document.bench === 'scale') return [scaleTable(document.points ?? []), fitTable(document.fits ?? [])];
  return [
    contenderTable(document),
    ...(document.releases === undefined ? [] : [releasesTable(document.releases)]),
    ...(document.bench === 'pipeline' && phases.length > 0 ? [beforeAfterTable(phases)] : []),
  ];
}

function contenderTable({ contenders, peer }: BenchDocument): PageTable {
  return {
    header: [
      'contender',
      'median s',
      'min – max s',
      'CPU s',
      'peak',
      'read',
      'sent',
      'received',
      'archive',
      'nodes',
      `× ${peer ?? ''}`,
    ],
    rows: contenders.map(contenderRow),
  };
}

function contenderRow(contender: ContenderResult): readonly string[] {
  const { archiveBytes, cpuSeconds, id, nodes, peakBytes, ratio, readBytes, receivedBytes, seconds, sentBytes } =
    contender;
  if (seconds === undefined) return [id, `not available: ${contender.unavailable ?? ''}`];
  const bytes = (value: number | undefined) => (value === undefined ? '' : formatBytes(value));
  return [
    id,
    seconds.median.toFixed(2),
    `${seconds.min.toFixed(2)} – ${seconds.max.toFixed(2)}`,
    cpuSeconds?.median.toFixed(2) ?? '',
    bytes(peakBytes),
    bytes(readBytes?.median),
    bytes(sentBytes),
    bytes(receivedBytes),
    bytes(archiveBytes),
    nodes === undefined ? '' : String(nodes),
    ratio?.toFixed(2) ?? '',
  ];
}

function releasesTable(releases: ReleaseSavings): PageTable {
  const { alwaysBuildingSeconds, buildSeconds, count, retagSeconds, retaggingSeconds } = releases;
  const row = (what: string, before: number, after: number, saved: number) => [
    what,
    before.toFixed(2),
    after.toFixed(2),
    `${saved.toFixed(1)} %`,
  ];
  return {
    header: ['releases of one commit', 'always building s', 're-tagging s', 'saved'],
    rows: [
      row('one more', buildSeconds, retagSeconds, releases.savedPercentOfOne),
      row(`${count}, the first built`, alwaysBuildingSeconds, retaggingSeconds, releases.savedPercent),
    ],
  };
}

function beforeAfterTable(phases: readonly PhaseRow[]): PageTable {
  const seconds = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(2));
  return {
    header: ['phase', 'before s', 'after s', 'saved'],
    rows: phases.map(({ afterSeconds, beforeSeconds, phase, savedPercent }) => [
      phase,
      seconds(beforeSeconds),
      seconds(afterSeconds),
      savedPercent === undefined ? '–' : `${savedPercent.toFixed(0)} %`,
    ]),
  };
}

function scaleTable(points: readonly ScalePoint[]): PageTable {
  return {
    header: [
      'series',
      'codec',
      'plain',
      'entries',
      'pack s',
      'assemble s',
      'CPU s',
      'peak pack',
      'peak assemble',
      'blobs',
      's/GB',
    ],
    rows: points.map(({ assemble, codec, entries, pack, plainBytes, series }) => [
      series,
      codec,
      formatBytes(plainBytes),
      String(entries),
      pack.seconds.median.toFixed(2),
      assemble.seconds.median.toFixed(2),
      (pack.cpuSeconds.median + assemble.cpuSeconds.median).toFixed(2),
      formatBytes(pack.peakBytes),
      formatBytes(assemble.peakBytes),
      formatBytes(pack.blobBytes),
      (pack.seconds.median / (plainBytes / 1e9)).toFixed(2),
    ]),
  };
}

function fitTable(fits: NonNullable<BenchDocument['fits']>): PageTable {
  return {
    header: ['straight line', 'codec', 'slope', 'at zero s', 'r²'],
    rows: fits.map(({ codec, intercept, r2, series, slope }) => [
      series,
      codec,
      `${slope.toFixed(2)} s per ${series === 'bytes' ? 'GB' : 'million'}`,
      intercept.toFixed(2),
      r2.toFixed(4),
    ]),
  };
}
