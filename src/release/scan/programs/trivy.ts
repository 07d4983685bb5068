import { z } from 'zod';
import { type Cancelable, WorkerError } from '../../../errors/index.ts';
import type { Finding, Severity } from '../finding.ts';
import type { Package } from '../packages/package.ts';
import type { ImageTree } from '../scanned-image.ts';
import type { ScanProgram } from './find-program.ts';
import { runProgram, SCAN_BOUNDS } from './run-program.ts';

/**
 * What goes before trivy's own defaults, and behind the person's. Left to itself it looks for secrets too, which takes many times
 * as long; a person who wants that says so to trivy itself. No other service is told of the run.
 */
const DEFAULTS = {
  TRIVY_SCANNERS: 'vuln',
  TRIVY_NO_PROGRESS: 'true',
  TRIVY_SKIP_VERSION_CHECK: 'true',
  TRIVY_DISABLE_TELEMETRY: 'true',
  TRIVY_TIMEOUT: `${SCAN_BOUNDS.timeoutMs / 1000}s`,
} as const;

/** The gate is ours, and the report comes to us: what a person set for trivy elsewhere does not change that. */
const FLAGS = ['--format', 'json', '--exit-code', '0', '--output', '', '--offline-scan'];

const Located = z.object({
  Title: z.string().optional(),
  Severity: z.string().default('UNKNOWN'),
  PrimaryURL: z.string().optional(),
});
/** The part of trivy's report, version 2, that becomes findings. */
const Report = z.object({
  SchemaVersion: z.literal(2),
  Results: z
    .array(
      z.object({
        Target: z.string(),
        Class: z.string().optional(),
        Vulnerabilities: z
          .array(
            Located.extend({
              VulnerabilityID: z.string(),
              PkgName: z.string(),
              PkgPath: z.string().optional(),
              PkgIdentifier: z.object({ PURL: z.string().optional() }).optional(),
              InstalledVersion: z.string(),
              FixedVersion: z.string().optional(),
            }),
          )
          .nullish(),
        Misconfigurations: z
          .array(Located.extend({ ID: z.string(), Message: z.string().optional(), Status: z.string().optional() }))
          .nullish(),
        Secrets: z.array(Located.extend({ RuleID: z.string(), StartLine: z.number().optional() })).nullish(),
      }),
    )
    .nullish(),
});
export type TrivyReport = z.infer<typeof Report>;
type Result = NonNullable<TrivyReport['Results']>[number];

/** trivy's report on a mounted image. Throws SCAN_TOOL_FAILED, also where its database cannot be fetched. */
export async function runTrivy(
  program: ScanProgram,
  { path }: ImageTree,
  { bounds = SCAN_BOUNDS, signal }: Cancelable & { readonly bounds?: typeof SCAN_BOUNDS },
): Promise<TrivyReport> {
  const run = runProgram(program, ['rootfs', ...FLAGS, path], { bounds, signal, defaults: DEFAULTS });
  return parseTrivy(await run.catch(rethrowAdvised), program.path);
}

/** trivy's own words for a database that is not there are of the flags that it would like. */
function rethrowAdvised(thrown: unknown): never {
  if (!(thrown instanceof WorkerError) || !/\bDB\b|--skip-db-update/.test(thrown.message)) throw thrown;
  throw new WorkerError('SCAN_TOOL_FAILED', `${thrown.message}; ${DATABASE_ADVICE}`, thrown.details, { cause: thrown });
}

const DATABASE_ADVICE =
  'trivy needs its database of advisories: `trivy image --download-db-only` fetches it where there is a network; elsewhere copy its ' +
  'folder there, name it by TRIVY_CACHE_DIR, and set TRIVY_SKIP_DB_UPDATE=true';

/** Throws SCAN_TOOL_FAILED for what is no report of trivy. */
export function parseTrivy(text: string, program: string): TrivyReport {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new WorkerError('SCAN_TOOL_FAILED', `${program} wrote something that is no JSON`, {}, { cause });
  }
  const parsed = Report.safeParse(document);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.join('.') ?? '';
  throw new WorkerError('SCAN_TOOL_FAILED', `${program} wrote no report: ${where}: ${issue?.message ?? 'wrong'}`);
}

/** What the report has against the image whose tree lay at `treePath`. `packages` tell the file of a distribution's package. */
export function trivyFindings(
  { Results }: TrivyReport,
  treePath: string,
  packages: readonly Package[],
): readonly Finding[] {
  const paths = new Map(packages.map(({ name, path }) => [name, path.replace(/^\//, '')]));
  return (Results ?? []).flatMap((result) => [
    ...vulnerabilities(result, treePath, paths),
    ...faults(result, treePath),
    ...secrets(result, treePath),
  ]);
}

function vulnerabilities(
  { Class, Target, Vulnerabilities }: Result,
  treePath: string,
  paths: ReadonlyMap<string, string>,
): readonly Finding[] {
  return (Vulnerabilities ?? []).map((found) => {
    const { FixedVersion = '', InstalledVersion, PkgIdentifier, PkgName, PkgPath, Title, VulnerabilityID } = found;
    const cure = FixedVersion === '' ? 'no fixed version is known' : `fixed in ${FixedVersion}`;
    // Of a distribution's packages the target is the folder with the distribution's name behind it.
    const file = Class === 'os-pkgs' ? (paths.get(PkgName) ?? '/') : undefined;
    return {
      rule: VulnerabilityID,
      severity: severityOf(found),
      message: `${PkgName} ${InstalledVersion}: ${Title ?? VulnerabilityID} (${cure})`,
      file: file ?? withinTree(PkgPath ?? Target, treePath),
      url: urlOf(found),
      package: PkgIdentifier?.PURL,
    };
  });
}

function faults({ Misconfigurations, Target }: Result, treePath: string): readonly Finding[] {
  return (Misconfigurations ?? [])
    .filter(({ Status = 'FAIL' }) => Status === 'FAIL')
    .map((found) => ({
      rule: `trivy/${found.ID}`,
      severity: severityOf(found),
      message: found.Message ?? found.Title ?? found.ID,
      file: withinTree(Target, treePath),
      url: urlOf(found),
    }));
}

/** Without what was found: a report is read by more people than the image. */
function secrets({ Secrets, Target }: Result, treePath: string): readonly Finding[] {
  return (Secrets ?? []).map((found) => ({
    rule: `trivy/${found.RuleID}`,
    severity: severityOf(found),
    message: `a secret: ${found.Title ?? found.RuleID}`,
    file: withinTree(Target, treePath),
    line: found.StartLine,
  }));
}

const SEVERITY: ReadonlyMap<string, Severity> = new Map([
  ['CRITICAL', 'critical'],
  ['HIGH', 'high'],
  ['MEDIUM', 'medium'],
  ['LOW', 'low'],
]);

/** Unknown ones are taken for medium, as those of advisories are. */
function severityOf({ Severity: word }: { readonly Severity: string }): Severity {
  return SEVERITY.get(word.toUpperCase()) ?? 'medium';
}

function urlOf({ PrimaryURL }: { readonly PrimaryURL?: string | undefined }): string | undefined {
  return PrimaryURL !== undefined && /^https?:\/\//.test(PrimaryURL) ? PrimaryURL : undefined;
}

function withinTree(path: string, treePath: string): string {
  return path.replace(treePath, '').replace(/^\//, '') || '/';
}
