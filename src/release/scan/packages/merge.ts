import type { Package } from './package.ts';
import { purlKey } from './purl.ts';
import { byPurl } from './read-packages.ts';

/**
 * What two readers saw of one image: all of the first, and what the second alone saw. Of a package that both saw the first one's path
 * stands, for it names the file and not the folder.
 */
export function mergePackages(first: readonly Package[], second: readonly Package[]): readonly Package[] {
  return [...first, ...onlyIn(second, first)].toSorted(byPurl);
}

/** Those of `packages` that `others` has not, by type, name and version. */
export function onlyIn(packages: readonly Package[], others: readonly Package[]): readonly Package[] {
  const known = new Set(others.map(({ purl }) => purlKey(purl)));
  return packages.filter(({ purl }) => !known.has(purlKey(purl)));
}
