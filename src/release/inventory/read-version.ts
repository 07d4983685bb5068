import { compareSemanticVersions, isDate, parseSemanticVersion } from '../version/index.ts';

/** A version to compare by. */
export interface Version {
  /** Without `v` and build metadata: two versions that differ only there are one. */
  readonly text: string;
  /** Not a prerelease. */
  readonly released: boolean;
}

/** undefined for what is no semantic version, and for a date. */
export function readVersion(text: string): Version | undefined {
  const parsed = isDate(text) ? undefined : parseSemanticVersion(text);
  return parsed && { text: parsed.version, released: parsed.prerelease.length === 0 };
}

/** By semver's order; negative when `a` is lower. Takes what `readVersion` gave. */
export function compareVersions(a: Version, b: Version): number {
  return compareSemanticVersions(a.text, b.text);
}
