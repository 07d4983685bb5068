import type { LintWarning } from '../../buildkit/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { type MatrixConfig, oldestVariant } from '../matrix/index.ts';
import type { Advisory } from './advisories.ts';
import { dockerfileFindings } from './dockerfile.ts';
import { type Finding, isAtLeast, type Severity, sortFindings } from './finding.ts';
import type { ImageScan, ImageScanner, ScanDepth } from './scan-image.ts';
import type { ScannedImage } from './scanned-image.ts';

/** The variants that stand for all: the default as a whole, the oldest by its packages. */
export function representatives({
  defaultVariant,
  variants,
}: Pick<MatrixConfig, 'defaultVariant' | 'variants'>): readonly {
  readonly variant: string;
  readonly depth: ScanDepth;
}[] {
  const oldest = oldestVariant(variants);
  return [
    { variant: defaultVariant, depth: 'full' },
    ...(oldest === undefined || oldest === defaultVariant ? [] : [{ variant: oldest, depth: 'basic' as const }]),
  ];
}

export interface MatrixScanContext extends Cancelable {
  readonly advisories: readonly Advisory[];
  readonly scanners: readonly ImageScanner[];
  /** Asked once, however many variants there are. */
  readonly lint: (options: Cancelable) => Promise<readonly LintWarning[]>;
  readonly dockerfile: string;
  /** undefined: the variant cannot be looked into, because this run did not build it. */
  readonly open: (variant: string, options: Cancelable) => Promise<ScannedImage | undefined>;
}

export interface MatrixScan {
  readonly findings: readonly Finding[];
  readonly images: readonly (ImageScan & { readonly variant: string; readonly depth: ScanDepth })[];
}

/** The Dockerfile once, and the representative images. */
export async function scanMatrix(config: MatrixConfig, context: MatrixScanContext): Promise<MatrixScan> {
  const { advisories, dockerfile, lint, open, scanners, signal } = context;
  const findings = [...dockerfileFindings(await lint({ signal }), dockerfile)];
  const images: MatrixScan['images'][number][] = [];
  for (const { depth, variant } of representatives(config)) {
    const image = await open(variant, { signal });
    if (image === undefined) continue;
    for (const scan of scanners) {
      const found = await scan(image, { variant, depth, advisories }, { signal });
      findings.push(...found.findings);
      images.push({ ...found, variant, depth });
    }
  }
  return { findings: sortFindings(findings), images };
}

/** Throws SCAN_FINDINGS with what is as grave as `least`, or graver. */
export function requireBelow(findings: readonly Finding[], least: Severity): void {
  const grave = findings.filter(({ severity }) => isAtLeast(severity, least));
  if (grave.length === 0) return;
  const lines = grave.map(
    ({ file, line, message, rule, severity }) =>
      `${severity} ${rule} ${file}${line === undefined ? '' : `:${line}`}: ${message}`,
  );
  throw new WorkerError('SCAN_FINDINGS', lines.join('\n'), { findings: grave.length });
}
