import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { purlKey } from '../../../src/release/scan/packages/purl.ts';
import { buildInto, goProgram } from './go-program.ts';
import { makeAdvisories, osvOf, trivyEntriesOf } from './made-advisories.ts';
import { type Scanned, scan } from './scanned.ts';

/** What belongs to a package of the distribution is looked up under that one's name by trivy, and not under its own too. */
const OF_DISTRIBUTION = /^usr\/(?:lib\/python3\/dist-packages|share\/nodejs)\//;

export interface TrivyComparison {
  readonly advisories: number;
  /** Findings of both: an advisory and a package. */
  readonly both: number;
  /** Ours alone of Python and Node packages that the distribution installed. */
  readonly ofDistribution: number;
  /** There should be none of these. */
  readonly onlyOurs: readonly string[];
  readonly onlyTrivy: readonly string[];
  /** Advisories that are about a package as the image has it, and that nobody found. */
  readonly missed: readonly string[];
}

export function trivyProgram(): string {
  return goProgram({
    name: 'trivy',
    module: 'github.com/aquasecurity/trivy',
    version: process.env['TRIVY_VERSION'] ?? '0.65.0',
    folder: 'cmd/trivy',
    versionVariable: 'github.com/aquasecurity/trivy/pkg/version/app.ver',
  });
}

/** Findings of trivy, by a database made up for the image's packages, beside those of our own reader by the same advisories. */
export function compareTrivy(source: string, program: string, scratch: string): TrivyComparison {
  const advisories = makeAdvisories(scan(source, []).packages);
  const osv = join(scratch, 'osv.json');
  writeFileSync(osv, JSON.stringify(osvOf(advisories)));
  const cache = join(scratch, 'trivy');
  makeDatabase(
    join(cache, 'db'),
    trivyEntriesOf(advisories)
      .map((entry) => JSON.stringify(entry))
      .join('\n'),
    scratch,
  );
  const made = new Set(advisories.map(({ id }) => id));
  const ours = findingsOf(scan(source, ['--advisories', osv]), made);
  const theirs = findingsOf(
    scan(source, ['--trivy', program], { TRIVY_CACHE_DIR: cache, TRIVY_SKIP_DB_UPDATE: 'true' }),
    made,
  );
  const onlyOurs = [...ours].filter(([key]) => !theirs.has(key));
  const found = new Set([...ours.keys(), ...theirs.keys()].map((key) => key.split(' ')[0]));
  return {
    advisories: advisories.length,
    both: ours.size - onlyOurs.length,
    ofDistribution: onlyOurs.filter(([, file]) => OF_DISTRIBUTION.test(file)).length,
    onlyOurs: onlyOurs.flatMap(([key, file]) => (OF_DISTRIBUTION.test(file) ? [] : [key])),
    onlyTrivy: [...theirs.keys()].filter((key) => !ours.has(key)),
    missed: advisories.filter(({ id, isAbout }) => isAbout && !found.has(id)).map(({ id }) => id),
  };
}

/** Files by advisory, package and severity. */
function findingsOf({ findings }: Scanned, made: ReadonlySet<string>): ReadonlyMap<string, string> {
  return new Map(
    findings
      .filter(({ rule }) => made.has(rule))
      .map(({ file, package: purl = '', rule, severity }) => [`${rule} ${purlKey(purl)} ${severity}`, file]),
  );
}

/** A database that trivy takes for one of this minute. */
function makeDatabase(folder: string, entries: string, scratch: string): void {
  const program = join(scratch, 'trivy-db');
  buildInto(program, join(import.meta.dirname, 'trivy-db'), '.');
  mkdirSync(folder, { recursive: true });
  execFileSync(program, [join(folder, 'trivy.db')], { input: entries, stdio: ['pipe', 'inherit', 'inherit'] });
  const now = new Date().toISOString();
  const metadata = { Version: 2, NextUpdate: '2999-01-01T00:00:00Z', UpdatedAt: now, DownloadedAt: now };
  writeFileSync(join(folder, 'metadata.json'), JSON.stringify(metadata));
}
