import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '../../digest/index.ts';
import { imageScanner, requireBelow, sarifDocument, sortFindings } from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { findingTable } from '../finding-table.ts';
import { writeResult } from '../output.ts';
import { type ScanFlags, scanSettings } from '../scan-flags.ts';
import { scannedImage } from '../scanned-image.ts';

export interface ScanImageFlags extends ScanFlags {
  readonly platform?: string;
  readonly store?: string;
  readonly plainHttp?: boolean;
  /** A file for the SBOM. */
  readonly sbom?: string;
}

/** `clipyard scan`: one image, as a whole. The report is written in any case; throws SCAN_FINDINGS behind it. */
export async function scan(
  source: string,
  flags: ScanImageFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { signal } = context;
  const { advisories, least, programs } = await scanSettings(flags, context);
  const scratchDir = await mkdtemp(join(tmpdir(), 'clipyard-scan-'));
  try {
    const image = await scannedImage({ uri: source, platform: flags.platform }, scratchDir, flags, context);
    const request = { variant: source, depth: 'full', advisories } as const;
    const { findings: found, sbomOf, ...seen } = await imageScanner(programs)(image, request, { signal });
    const findings = sortFindings(found);
    if (flags.sarif !== undefined) await writeFile(flags.sarif, `${JSON.stringify(sarifDocument(findings))}\n`);
    if (flags.sbom !== undefined) {
      // The configuration names the layers: the same image, wherever it lies, has the same digest here.
      const digest = digestOf(Buffer.from(JSON.stringify(image.config)));
      const created = image.config.created ?? new Date(0).toISOString();
      const subject = { name: source, digest, created: created.replace(/\.\d+Z$/, 'Z') };
      await writeFile(flags.sbom, `${JSON.stringify(sbomOf(subject))}\n`);
    }
    const { packages, readers, note } = seen;
    writeResult(context.stdout, { source, readers, note, findings, packages }, json, () =>
      findingTable({ findings, images: [{ ...seen, variant: `${source}: ${packages.length} packages` }] }),
    );
    if (least !== undefined) requireBelow(findings, least);
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}
