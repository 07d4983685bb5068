import type { Package } from '../../../src/release/index.ts';

const SEVERITIES = ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] as const;
/** trivy's numbers of them; 0 is unknown. */
const NUMBERS: Readonly<Record<string, number>> = Object.fromEntries(SEVERITIES.map((name, at) => [name, at + 1]));

/** An advisory that is made up, about one package as an image has it. */
export interface MadeAdvisory {
  readonly id: string;
  readonly severity: (typeof SEVERITIES)[number];
  readonly ecosystem: string;
  /** The source's name, which advisories are about. */
  readonly source: string;
  readonly introduced?: string;
  readonly fixed: string;
  /** Whether the image's version is one of those it is about. */
  readonly isAbout: boolean;
}

/** For each package one that is about its version, and one whose fix it has already; of libraries also one that begins later. */
export function makeAdvisories(packages: readonly Package[]): readonly MadeAdvisory[] {
  const one = new Map(packages.map((each) => [`${each.ecosystem} ${each.source} ${each.version}`, each]));
  return [...one.values()]
    .flatMap(({ ecosystem, source, version }) => {
      const about = { ecosystem, source };
      // What is appended to a distribution's version is newer than it; of the others the next one is.
      if (/^(?:Debian|Ubuntu|Alpine)/.test(ecosystem))
        return [
          { ...about, fixed: ecosystem.startsWith('Alpine') ? nextOf(version) : `${version}.1`, isAbout: true },
          { ...about, fixed: version, isAbout: false },
        ];
      const next = nextOf(version);
      return [
        { ...about, introduced: version, fixed: next, isAbout: true },
        { ...about, fixed: version, isAbout: false },
        { ...about, introduced: next, fixed: nextOf(next), isAbout: false },
      ];
    })
    .map((advisory, at) => ({
      ...advisory,
      id: `CVE-0000-${String(at).padStart(5, '0')}`,
      severity: SEVERITIES[at % SEVERITIES.length] ?? 'LOW',
    }));
}

/** `1.15.4` of `1.15.3`, `2.0.1` of `2.0.0-rc.1`. */
function nextOf(version: string): string {
  return version.replace(/^((?:\d+\.)*)(\d+).*$/, (_, head: string, last: string) => `${head}${Number(last) + 1}`);
}

/** https://ossf.github.io/osv-schema */
export function osvOf(advisories: readonly MadeAdvisory[]): readonly object[] {
  return advisories.map(({ ecosystem, fixed, id, introduced = '0', severity, source }) => ({
    id,
    summary: 'made up',
    database_specific: { severity },
    affected: [
      { package: { ecosystem, name: source }, ranges: [{ type: 'ECOSYSTEM', events: [{ introduced }, { fixed }] }] },
    ],
  }));
}

/** An entry of trivy's database, as `trivy-db` takes it. */
export interface TrivyEntry {
  readonly buckets: readonly string[];
  readonly key: string;
  readonly value: object;
}

/** The same in trivy's database, schema 2 (github.com/aquasecurity/trivy-db). */
export function trivyEntriesOf(advisories: readonly MadeAdvisory[]): readonly TrivyEntry[] {
  return advisories.flatMap(({ ecosystem, fixed, id, introduced, severity, source }) => {
    const { bucket, isDistribution, name } = bucketOf(ecosystem);
    const range = introduced === undefined ? `<${fixed}` : `>=${introduced}, <${fixed}`;
    const value = isDistribution ? { FixedVersion: fixed } : { VulnerableVersions: [range], PatchedVersions: [fixed] };
    return [
      { buckets: ['data-source'], key: bucket, value: { ID: name, Name: name, URL: 'https://advisories.example' } },
      { buckets: [bucket, source], key: id, value },
      {
        buckets: ['vulnerability'],
        key: id,
        value: { Title: 'made up', VendorSeverity: { [name]: NUMBERS[severity] ?? 0 } },
      },
    ];
  });
}

/** `debian 12` of `Debian:12`, `alpine 3.20` of `Alpine:v3.20`; of libraries the ecosystem and a source of advisories. */
function bucketOf(ecosystem: string): {
  readonly bucket: string;
  readonly name: string;
  readonly isDistribution: boolean;
} {
  const [name = '', release] = ecosystem.toLowerCase().split(':');
  if (release !== undefined) return { bucket: `${name} ${release.replace(/^v/, '')}`, name, isDistribution: true };
  return { bucket: `${name === 'pypi' ? 'pip' : name}::made up`, name: 'ghsa', isDistribution: false };
}
