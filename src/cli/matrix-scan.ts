import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildResult } from '../jobs/index.ts';
import type { RegistryClient } from '../registry/index.ts';
import {
  attachSbom,
  imageScanner,
  type MatrixConfig,
  type MatrixScan,
  requireBelow,
  sarifDocument,
  scanMatrix,
  type TagContext,
} from '../release/index.ts';
import type { CommandContext } from './context.ts';
import type { ScanFlags, ScanSettings } from './scan-flags.ts';
import { scannedImage } from './scanned-image.ts';
import type { VariantBuilder } from './variant-builds.ts';

export interface MatrixScanFlags extends ScanFlags {
  readonly scan?: boolean;
  readonly store?: string;
  readonly plainHttp?: boolean;
}

/** Any of the flags asks for a scan. */
export function wantsScan({ advisories, failOn, sarif, scan, syft, trivy }: MatrixScanFlags): boolean {
  return scan === true || [failOn, advisories, sarif, syft, trivy].some((flag) => flag !== undefined);
}

export interface ScanInput {
  readonly config: MatrixConfig;
  readonly given: TagContext;
  readonly builder: VariantBuilder;
  readonly builds: ReadonlyMap<string, BuildResult>;
  readonly client: RegistryClient;
  readonly scanning: ScanSettings;
}

/**
 * The Dockerfile once and the representative images, with their SBOMs attached to the manifests they are of. The report is written in
 * any case. Throws SCAN_FINDINGS where `--fail-on` says so, before any tag.
 */
export async function scanBuilds(
  { builder, builds, client, config, given, scanning }: ScanInput,
  flags: MatrixScanFlags,
  context: CommandContext,
): Promise<MatrixScan> {
  const { log, signal } = context;
  const { advisories, least, programs } = scanning;
  // Of the default variant: a base image may be named by them.
  const buildArgs = { ...config.buildArgs, [config.argument]: config.defaultVariant };
  const scratchDir = await mkdtemp(join(tmpdir(), 'clipyard-scan-'));
  try {
    const scan = await scanMatrix(config, {
      signal,
      advisories,
      scanners: [imageScanner(programs)],
      dockerfile: config.dockerfile ?? 'Dockerfile',
      lint: (options) => builder.buildkit.lint({ ...builder.request, buildArgs }, options),
      open: async (variant) => {
        const archive = archiveOf(builds, variant);
        return archive === undefined ? undefined : await scannedImage(archive, scratchDir, flags, context);
      },
    });
    if (flags.sarif !== undefined) await writeFile(flags.sarif, `${JSON.stringify(sarifDocument(scan.findings))}\n`);
    for (const { note, packages, readers, sbomOf, variant } of scan.images) {
      log.info({ variant, readers, packages: packages.length, note }, 'image scanned');
      const built = builds.get(variant);
      const archive = archiveOf(builds, variant);
      if (built === undefined || archive === undefined) continue;
      const subject = {
        name: built.storageRef,
        digest: archive.manifestDigest,
        created: (given.commitDate ?? new Date(0)).toISOString().replace(/\.\d+Z$/, 'Z'),
      };
      await attachSbom(config.target, archive.manifestDigest, sbomOf(subject), { client, signal });
    }
    if (least !== undefined) requireBelow(scan.findings, least);
    return scan;
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

/** One platform stands for all: packages seldom differ. */
function archiveOf(builds: ReadonlyMap<string, BuildResult>, variant: string) {
  return builds.get(variant)?.archives[0];
}
