import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import type { BuildResult } from '../jobs/index.ts';
import type { RegistryClient } from '../registry/index.ts';
import {
  attachSbom,
  type MatrixConfig,
  type MatrixScan,
  parseAdvisories,
  requireBelow,
  SEVERITIES,
  type Severity,
  sarifDocument,
  scanMatrix,
  scanPackages,
  spdxDocument,
  type TagContext,
} from '../release/index.ts';
import type { CommandContext } from './context.ts';
import { scannedImage } from './scanned-image.ts';
import { readNamedFile } from './tag-context.ts';
import type { VariantBuilder } from './variant-builds.ts';

export interface ScanFlags {
  readonly scan?: boolean;
  readonly failOn?: string;
  readonly advisories?: string;
  readonly sarif?: string;
  readonly store?: string;
  readonly plainHttp?: boolean;
}

/** Any of the flags asks for a scan. Throws USAGE. */
export function wantsScan({ advisories, failOn, sarif, scan }: ScanFlags): boolean {
  if (failOn !== undefined) severityOf(failOn);
  return scan === true || [failOn, advisories, sarif].some((flag) => flag !== undefined);
}

export interface ScanInput {
  readonly config: MatrixConfig;
  readonly given: TagContext;
  readonly builder: VariantBuilder;
  readonly builds: ReadonlyMap<string, BuildResult>;
  readonly client: RegistryClient;
}

/**
 * The Dockerfile once and the representative images, with their SBOMs attached to the manifests they are of. The report is written in
 * any case. Throws SCAN_FINDINGS where `--fail-on` says so, before any tag.
 */
export async function scanBuilds(
  { builder, builds, client, config, given }: ScanInput,
  flags: ScanFlags,
  context: CommandContext,
): Promise<MatrixScan> {
  const { signal } = context;
  const advisories =
    flags.advisories === undefined ? [] : parseAdvisories(await readAdvisories(flags.advisories, signal));
  const scratchDir = await mkdtemp(join(tmpdir(), 'clipyard-scan-'));
  try {
    const scan = await scanMatrix(config, {
      signal,
      advisories,
      scanners: [scanPackages],
      dockerfile: config.dockerfile ?? 'Dockerfile',
      lint: (options) => builder.buildkit.lint(builder.request, options),
      open: async (variant) => {
        const archive = archiveOf(builds, variant);
        return archive === undefined ? undefined : await scannedImage(archive, scratchDir, flags, context);
      },
    });
    if (flags.sarif !== undefined) await writeFile(flags.sarif, `${JSON.stringify(sarifDocument(scan.findings))}\n`);
    for (const { packages, variant } of scan.images) {
      const built = builds.get(variant);
      const archive = archiveOf(builds, variant);
      if (built === undefined || archive === undefined) continue;
      const subject = {
        name: built.storageRef,
        digest: archive.manifestDigest,
        created: (given.commitDate ?? new Date(0)).toISOString().replace(/\.\d+Z$/, 'Z'),
      };
      await attachSbom(config.target, archive.manifestDigest, spdxDocument(subject, packages), { client, signal });
    }
    if (flags.failOn !== undefined) requireBelow(scan.findings, severityOf(flags.failOn));
    return scan;
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

/** One platform stands for all: packages seldom differ. */
function archiveOf(builds: ReadonlyMap<string, BuildResult>, variant: string) {
  return builds.get(variant)?.archives[0];
}

function severityOf(text: string): Severity {
  const severity = SEVERITIES.find((name) => name === text);
  if (severity === undefined)
    throw new WorkerError('USAGE', `--fail-on ${text}: one of ${SEVERITIES.join(', ')} is needed`);
  return severity;
}

async function readAdvisories(source: string, signal: AbortSignal): Promise<string> {
  if (!/^https?:\/\//.test(source)) return await readNamedFile(source, 'the advisories');
  try {
    const response = await fetch(source, { signal });
    if (response.ok) return await response.text();
    throw new WorkerError('ADVISORIES_INVALID', `${source} answers ${response.status}`);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof WorkerError) throw cause;
    throw new WorkerError('ADVISORIES_INVALID', `${source} cannot be fetched`, {}, { cause });
  }
}
