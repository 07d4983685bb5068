import { z } from 'zod';
import { WorkerError } from '../../errors/index.ts';
import type { Finding, Severity } from './finding.ts';
import { compareVersionsOf } from './packages/compare.ts';
import type { Package } from './packages/package.ts';

/** https://ossf.github.io/osv-schema, as far as it is matched; what is not known is left alone. */
const RangeEvent = z.object({
  introduced: z.string().optional(),
  fixed: z.string().optional(),
  last_affected: z.string().optional(),
});
const Advisory = z.object({
  id: z.string().min(1),
  aliases: z.array(z.string()).nullish(),
  summary: z.string().optional(),
  withdrawn: z.string().optional(),
  severity: z.array(z.object({ type: z.string(), score: z.string() })).nullish(),
  database_specific: z.looseObject({ severity: z.unknown().optional() }).nullish(),
  affected: z
    .array(
      z.object({
        package: z.object({ ecosystem: z.string(), name: z.string() }).optional(),
        ranges: z.array(z.object({ type: z.string(), events: z.array(RangeEvent) })).nullish(),
        versions: z.array(z.string()).nullish(),
      }),
    )
    .nullish(),
});
export type Advisory = z.infer<typeof Advisory>;
type Affected = NonNullable<Advisory['affected']>[number];

/** A record, a list of them, `{"vulns": [...]}`, or a record a line. Throws ADVISORIES_INVALID. */
export function parseAdvisories(text: string): readonly Advisory[] {
  return recordsOf(text).map((record, at) => {
    const parsed = Advisory.safeParse(record);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw invalid(`advisory ${at + 1}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong'}`);
  });
}

/** Which advisories are about a package of the image. */
export function advisoryFindings(packages: readonly Package[], advisories: readonly Advisory[]): readonly Finding[] {
  const byName = new Map<string, { readonly advisory: Advisory; readonly affected: Affected }[]>();
  for (const advisory of advisories.filter(({ withdrawn }) => withdrawn === undefined)) {
    for (const affected of advisory.affected ?? []) {
      const name = affected.package?.name ?? '';
      byName.set(name, [...(byName.get(name) ?? []), { advisory, affected }]);
    }
  }
  return packages.flatMap((each) =>
    [...new Set([each.name, each.source])]
      .flatMap((name) => byName.get(name) ?? [])
      .filter(({ affected }) => isAffected(each, affected))
      .filter(({ advisory }, at, all) => all.findIndex((other) => other.advisory === advisory) === at)
      .map(({ advisory, affected }) => {
        const fixed = (affected.ranges ?? []).flatMap(({ events }) => events.flatMap((event) => event.fixed ?? []));
        const cure = fixed.length === 0 ? 'no fixed version is known' : `fixed in ${fixed.join(', ')}`;
        return {
          rule: advisory.id,
          severity: severityOf(advisory),
          message: `${each.name} ${each.version}: ${advisory.summary ?? advisory.id} (${cure})`,
          file: each.path.replace(/^\//, ''),
          url: `https://osv.dev/vulnerability/${encodeURIComponent(advisory.id)}`,
          package: each.purl,
          aliases: advisory.aliases ?? undefined,
        };
      }),
  );
}

/** Events are sorted by version and applied one by one (osv-schema, "Evaluation"). */
function isAffected({ ecosystem, version }: Package, { package: about, ranges, versions }: Affected): boolean {
  if (about === undefined || !isSameEcosystem(about.ecosystem, ecosystem)) return false;
  if (versions?.includes(version) === true) return true;
  return (ranges ?? []).some(({ events, type }) => type !== 'GIT' && isInRange(ecosystem, version, events));
}

function isInRange(ecosystem: string, version: string, events: readonly z.infer<typeof RangeEvent>[]): boolean {
  const order = (other: string) => (other === '0' ? 1 : compareVersionsOf(ecosystem, version, other));
  const reached = (of: (event: z.infer<typeof RangeEvent>) => string | undefined, isPast: (order: number) => boolean) =>
    events.flatMap((event) => of(event) ?? []).filter((other) => isPast(order(other)));
  const highest = (versions: readonly string[]) =>
    versions.toSorted((a, b) => (a === '0' ? -1 : b === '0' ? 1 : compareVersionsOf(ecosystem, a, b))).at(-1);
  const introduced = highest(
    reached(
      (event) => event.introduced,
      (at) => at >= 0,
    ),
  );
  if (introduced === undefined) return false;
  const ended = highest([
    ...reached(
      (event) => event.fixed,
      (at) => at >= 0,
    ),
    ...reached(
      (event) => event.last_affected,
      (at) => at > 0,
    ),
  ]);
  return ended === undefined || (introduced !== '0' && compareVersionsOf(ecosystem, introduced, ended) > 0);
}

/** `Debian:12` is meant by `Debian:12`, and by `Debian`. */
function isSameEcosystem(about: string, has: string): boolean {
  return about === has || about === has.split(':')[0];
}

const WORDS: Readonly<Record<string, Severity>> = {
  CRITICAL: 'critical',
  HIGH: 'high',
  IMPORTANT: 'high',
  MODERATE: 'medium',
  MEDIUM: 'medium',
  LOW: 'low',
  UNIMPORTANT: 'low',
};

/** What the database says in words, else by the CVSS 3 vector; unknown ones are taken for medium. */
function severityOf({ database_specific, severity }: Advisory): Severity {
  const word = database_specific?.severity;
  const said = typeof word === 'string' ? WORDS[word.toUpperCase()] : undefined;
  if (said !== undefined) return said;
  const vector = severity?.find(({ type }) => type === 'CVSS_V3')?.score;
  const score = vector === undefined ? undefined : cvss3BaseScore(vector);
  if (score === undefined) return 'medium';
  return score >= 9 ? 'critical' : score >= 7 ? 'high' : score >= 4 ? 'medium' : 'low';
}

const WEIGHTS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  AV: { N: 0.85, A: 0.62, L: 0.55, P: 0.2 },
  AC: { L: 0.77, H: 0.44 },
  UI: { N: 0.85, R: 0.62 },
  C: { H: 0.56, L: 0.22, N: 0 },
  I: { H: 0.56, L: 0.22, N: 0 },
  A: { H: 0.56, L: 0.22, N: 0 },
};
const PRIVILEGES = { U: { N: 0.85, L: 0.62, H: 0.27 }, C: { N: 0.85, L: 0.68, H: 0.5 } } as const;

/** CVSS v3.1 specification, section 7.1. undefined for what is no vector. */
export function cvss3BaseScore(vector: string): number | undefined {
  const metrics = new Map(vector.split('/').map((part) => part.split(':') as [string, string]));
  const weight = (name: string) => WEIGHTS[name]?.[metrics.get(name) ?? ''] ?? Number.NaN;
  const isChanged = metrics.get('S') === 'C';
  const privileges = PRIVILEGES[isChanged ? 'C' : 'U'][(metrics.get('PR') ?? '') as 'N'] as number | undefined;
  const iss = 1 - (1 - weight('C')) * (1 - weight('I')) * (1 - weight('A'));
  const impact = isChanged ? 7.52 * (iss - 0.029) - 3.25 * (iss - 0.02) ** 15 : 6.42 * iss;
  const exploitability = 8.22 * weight('AV') * weight('AC') * (privileges ?? Number.NaN) * weight('UI');
  if (Number.isNaN(impact + exploitability)) return undefined;
  if (impact <= 0) return 0;
  return roundUp(Math.min((isChanged ? 1.08 : 1) * (impact + exploitability), 10));
}

/** Appendix A of the same: to one decimal, upwards. */
function roundUp(score: number): number {
  const scaled = Math.round(score * 100_000);
  return scaled % 10_000 === 0 ? scaled / 100_000 : (Math.floor(scaled / 10_000) + 1) / 10;
}

function recordsOf(text: string): readonly unknown[] {
  try {
    const document: unknown = JSON.parse(text);
    if (Array.isArray(document)) return document;
    if (typeof document === 'object' && document !== null && 'vulns' in document && Array.isArray(document.vulns))
      return document.vulns;
    return [document];
  } catch {
    return text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line, at) => {
        try {
          return JSON.parse(line) as unknown;
        } catch (cause) {
          throw invalid(`line ${at + 1} is no JSON`, cause);
        }
      });
  }
}

function invalid(message: string, cause?: unknown): WorkerError {
  return new WorkerError('ADVISORIES_INVALID', message, {}, { cause });
}
