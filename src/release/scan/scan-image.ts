import { type Cancelable, messageOf } from '../../errors/index.ts';
import { type Advisory, advisoryFindings } from './advisories.ts';
import type { Finding } from './finding.ts';
import { imageFindings } from './image-rules.ts';
import { mergeFindings } from './merge-findings.ts';
import { mergePackages, onlyIn } from './packages/merge.ts';
import type { Package } from './packages/package.ts';
import { readPackages } from './packages/read-packages.ts';
import { packagesOfSpdx, type SpdxDocument } from './packages/spdx.ts';
import type { ScanProgram } from './programs/find-program.ts';
import { runSyft, syftName } from './programs/syft.ts';
import { runTrivy, type TrivyReport, trivyFindings } from './programs/trivy.ts';
import { completedSpdx, type SbomSubject, spdxDocument } from './sbom.ts';
import type { ImageTree, ScannedImage } from './scanned-image.ts';

/** `full`: all rules. `basic`: what advisories say, for the oldest variant, whose own faults are the default's. */
export type ScanDepth = 'full' | 'basic';

export interface ScanRequest {
  readonly variant: string;
  readonly depth: ScanDepth;
  readonly advisories: readonly Advisory[];
}

export interface ImageScan {
  /** Of all readers; what two of them saw is there once. */
  readonly packages: readonly Package[];
  readonly findings: readonly Finding[];
  /** Who looked: `clipyard`, and `syft-1.44.0`, `trivy` where they are used. */
  readonly readers: readonly string[];
  /** Why a program that is there was not used. */
  readonly note?: string;
  /** syft's document where it was used, completed by what it did not see; else ours. */
  readonly sbomOf: (subject: SbomSubject) => object;
}

/** A kind of scan; several may look at one image. */
export type ImageScanner = (image: ScannedImage, request: ScanRequest, options: Cancelable) => Promise<ImageScan>;

export interface ScanPrograms {
  readonly syft?: ScanProgram | undefined;
  readonly trivy?: ScanProgram | undefined;
}

/** What somebody else's programs said of an image. */
interface Said {
  readonly document?: SpdxDocument;
  readonly report?: TrivyReport;
  readonly treePath: string;
  readonly note?: string;
}

/** Our own readers, and the programs. An image that cannot be mounted is looked at without programs, unless one is required. */
export function imageScanner(programs: ScanPrograms): ImageScanner {
  return async (image, { advisories, depth, variant }, options) => {
    const { distribution, packages: own } = await readPackages(image, options);
    const { document, note, report, treePath } = await askPrograms(image, programs, options);
    const packages = document === undefined ? own : mergePackages(own, packagesOfSpdx(document, distribution));
    const advised = advisoryFindings(packages, advisories);
    const found = [
      ...mergeFindings(advised, report === undefined ? [] : trivyFindings(report, treePath, packages)),
      ...(depth === 'full' ? imageFindings(image.config, packages) : []),
    ];
    const readers = ['clipyard', ...(document === undefined ? [] : [syftName(document)])];
    return {
      packages,
      findings: found.map((finding) => ({ ...finding, variant })),
      readers: report === undefined ? readers : [...readers, 'trivy'],
      ...(note !== undefined && { note }),
      sbomOf: (subject) =>
        document === undefined
          ? spdxDocument(subject, packages)
          : completedSpdx(document, subject, onlyIn(own, packagesOfSpdx(document, distribution))),
    };
  };
}

/** Reads the package databases of an image, and only those. */
export const scanPackages: ImageScanner = imageScanner({});

async function askPrograms(image: ScannedImage, { syft, trivy }: ScanPrograms, options: Cancelable): Promise<Said> {
  if (syft === undefined && trivy === undefined) return { treePath: '' };
  let mounted: ImageTree;
  try {
    mounted = await image.mount(options);
  } catch (thrown) {
    options.signal.throwIfAborted();
    if (syft?.isRequired === true || trivy?.isRequired === true) throw thrown;
    return { treePath: '', note: `the image cannot be mounted for syft and trivy: ${messageOf(thrown)}` };
  }
  await using tree = mounted;
  return {
    treePath: tree.path,
    ...(syft !== undefined && { document: await runSyft(syft, tree, options) }),
    ...(trivy !== undefined && { report: await runTrivy(trivy, tree, options) }),
  };
}
