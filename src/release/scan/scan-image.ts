import type { Cancelable } from '../../errors/index.ts';
import type { ImageConfig } from '../../oci/index.ts';
import { type Advisory, advisoryFindings } from './advisories.ts';
import type { Finding } from './finding.ts';
import { imageFindings } from './image-rules.ts';
import { DATABASES } from './packages/databases.ts';
import { type Distribution, type Package, parseOsRelease } from './packages/package.ts';

/** An image that a scanner can look into without pulling it. */
export interface ScannedImage {
  readonly config: ImageConfig;
  /** Absolute paths of its regular files. */
  readonly files: readonly string[];
  /** A whole file. */
  read(path: string, options: Cancelable): Promise<string>;
}

/** `full`: all rules. `basic`: what advisories say, for the oldest variant, whose own faults are the default's. */
export type ScanDepth = 'full' | 'basic';

export interface ScanRequest {
  readonly variant: string;
  readonly depth: ScanDepth;
  readonly advisories: readonly Advisory[];
}

export interface ImageScan {
  readonly packages: readonly Package[];
  readonly findings: readonly Finding[];
}

/** A kind of scan; several may look at one image. */
export type ImageScanner = (image: ScannedImage, request: ScanRequest, options: Cancelable) => Promise<ImageScan>;

/** More would be somebody's whole disk. */
const MAX_PACKAGE_FILES = 20_000;
const OS_RELEASE = ['/etc/os-release', '/usr/lib/os-release'];

/** Reads the package databases of an image, and only those. */
export const scanPackages: ImageScanner = async (image, { advisories, depth, variant }, options) => {
  const packages = await readPackages(image, options);
  const found = [
    ...advisoryFindings(packages, advisories),
    ...(depth === 'full' ? imageFindings(image.config, packages) : []),
  ];
  return { packages, findings: found.map((finding) => ({ ...finding, variant })) };
};

async function readPackages(image: ScannedImage, options: Cancelable): Promise<readonly Package[]> {
  const distribution = await readDistribution(image, options);
  const named = image.files.flatMap((path) => {
    const database = DATABASES.find(({ matches }) => matches.test(path));
    return database === undefined ? [] : [{ path, read: database.read }];
  });
  const packages: Package[] = [];
  for (const { path, read } of named.slice(0, MAX_PACKAGE_FILES))
    packages.push(...read(await image.read(path, options), path, distribution));
  return packages.toSorted((one, other) => (`${one.purl}\0${one.path}` < `${other.purl}\0${other.path}` ? -1 : 1));
}

async function readDistribution(image: ScannedImage, options: Cancelable): Promise<Distribution> {
  const path = OS_RELEASE.find((name) => image.files.includes(name));
  return parseOsRelease(path === undefined ? '' : await image.read(path, options));
}
