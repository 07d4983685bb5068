import type { Cancelable } from '../../../errors/index.ts';
import type { ScannedImage } from '../scanned-image.ts';
import { DATABASES } from './databases.ts';
import { type Distribution, type Package, parseOsRelease } from './package.ts';

/** More would be somebody's whole disk. */
const MAX_PACKAGE_FILES = 20_000;
const OS_RELEASE = ['/etc/os-release', '/usr/lib/os-release'];

export interface ReadPackages {
  readonly distribution: Distribution;
  /** Sorted by purl and path. */
  readonly packages: readonly Package[];
}

/** Reads the package databases of an image, and only those. */
export async function readPackages(image: ScannedImage, options: Cancelable): Promise<ReadPackages> {
  const distribution = await readDistribution(image, options);
  const named = image.files.flatMap((path) => {
    const database = DATABASES.find(({ matches }) => matches.test(path));
    return database === undefined ? [] : [{ path, read: database.read }];
  });
  const packages: Package[] = [];
  for (const { path, read } of named.slice(0, MAX_PACKAGE_FILES))
    packages.push(...read(await image.read(path, options), path, distribution));
  return { distribution, packages: packages.toSorted(byPurl) };
}

export function byPurl(one: Package, other: Package): number {
  return `${one.purl}\0${one.path}` < `${other.purl}\0${other.path}` ? -1 : 1;
}

async function readDistribution(image: ScannedImage, options: Cancelable): Promise<Distribution> {
  const path = OS_RELEASE.find((name) => image.files.includes(name));
  return parseOsRelease(path === undefined ? '' : await image.read(path, options));
}
