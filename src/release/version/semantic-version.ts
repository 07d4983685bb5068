import semver, { type SemVer } from 'semver';

/** Semantic Versioning 2.0 with one leading `v` allowed, and nothing else around it. undefined when the text is none. */
export function parseSemanticVersion(text: string): SemVer | undefined {
  // The library also takes blanks and `=` in front.
  return /^v?\d/.test(text) ? (semver.parse(text) ?? undefined) : undefined;
}

/** Number by number; prereleases below their release; build metadata does not count. Below 0: `one` is lower. Takes versions only. */
export function compareSemanticVersions(one: string, other: string): number {
  return semver.compare(one, other);
}
