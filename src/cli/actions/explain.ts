import { resolve } from 'node:path';
import { writeFileAtomically } from '../../files/index.ts';
import { type Explanation, explain as explainTrace, explanationPage, parseTrace } from '../../trace/index.ts';
import type { CommandContext } from '../context.ts';
import type { ListingFlags } from '../named-archive.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { listingOf, readTraceFile } from '../trace-input.ts';

export interface ExplainFlags extends ListingFlags {
  /** The archive of the image: names files and allows to simulate. */
  readonly archive?: string;
  readonly html?: string;
}

const SHOWN_ROWS = 20;

export async function explain(
  path: string,
  flags: ExplainFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const trace = parseTrace(await readTraceFile(path));
  const image = flags.archive === undefined ? undefined : await listingOf(flags.archive, flags, context);
  const explanation = explainTrace(trace, image);
  if (flags.html !== undefined)
    await writeFileAtomically(resolve(flags.html), explanationPage(explanation), {
      signal: context.signal,
    });
  writeResult(context.stdout, explanation, json, () => explanationText(explanation, image !== undefined));
}

function explanationText(explanation: Explanation, named: boolean): string {
  const { advice, amplification, endUs, files, layers, tiers, timeline, totals, touches, waitUs, whatIf } = explanation;
  const slowest = timeline.toSorted((a, b) => b.waitUs - a.waitUs).slice(0, SHOWN_ROWS);
  const parts = [
    `${explanation.source}${explanation.entry === '' ? '' : ` (${explanation.entry})`}: ${touches} first touches in ${ms(endUs)}, ${ms(waitUs)} waited\n`,
    `${formatBytes(totals.wantedBytes)} wanted, ${formatBytes(totals.fetchedBytes)} fetched in ${totals.requests} requests${amplification === undefined ? '' : `, amplification ${amplification.toFixed(2)}`}\n`,
    ...(totals.dropped === 0 ? [] : [`${totals.dropped} later touches were not recorded\n`]),
    formatTable(
      ['tier', 'touches >', 'waited >'],
      tiers.map((row) => [row.tier, String(row.touches), ms(row.waitUs)]),
    ),
    formatTable(
      ['longest waits', 'at >', 'waited >', 'tier'],
      slowest.map((row) => [row.path ?? `layer ${row.layer} at ${row.offset}`, ms(row.atUs), ms(row.waitUs), row.tier]),
    ),
    ...(named
      ? [
          formatTable(
            ['file', 'touches >', 'fetched >', 'waited >'],
            files
              .slice(0, SHOWN_ROWS)
              .map((file) => [file.path, String(file.touches), formatBytes(file.storedBytes), ms(file.waitUs)]),
          ),
          formatTable(
            ['what if (simulated)', 'requests >', 'fetched >', 'waits >', 'waited >'],
            whatIf.map(({ name, simulation: s }) => [
              name,
              String(s.requests),
              formatBytes(s.fetchedBytes),
              String(s.waits),
              ms(s.waitUs),
            ]),
          ),
        ]
      : ['name the archive with --archive to see files and what would have helped\n']),
    formatTable(
      ['no. >', 'layer', 'mode', 'touches >', 'waited >', 'reason'],
      layers.map((l, number) => [
        String(number),
        l.digest.slice(0, 19),
        l.mode,
        String(l.touches),
        ms(l.waitUs),
        l.reason ?? '',
      ]),
    ),
    ...advice.map(({ text }) => `advice: ${text}\n`),
  ];
  return parts.join('\n');
}

function ms(us: number): string {
  return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
}
