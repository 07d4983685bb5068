import { compareSemanticVersions, isDate, parseSemanticVersion, splitVariant } from '../version/index.ts';

/** A version as the guards compare it, read from a tag or given by a person. */
export interface GuardVersion {
  /** As it was written, with `v` and variant. */
  readonly text: string;
  /** Without its variant. */
  readonly bare: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Nothing behind the three numbers but build metadata and a known variant. */
  readonly released: boolean;
  /** Reads as a version, and is a tag of its own kind. */
  readonly isDate: boolean;
  /** The known variant behind the version: `0.2.3-python3.9` is a release of 0.2.3, no prerelease. */
  readonly variant: string | undefined;
}

export interface VariantNames {
  /** Names such as `python3.9` that a tag may carry behind its version. */
  readonly variants?: readonly string[];
}

/** Semantic Versioning 2.0 with one leading `v` allowed, behind it maybe a variant. undefined when the text is none. */
export function parseGuardVersion(text: string, { variants = [] }: VariantNames = {}): GuardVersion | undefined {
  const { bare, variant } = splitVariant(text, variants);
  const parsed = parseSemanticVersion(bare);
  if (parsed === undefined) return undefined;
  const { major, minor, patch, prerelease } = parsed;
  return { text, bare, major, minor, patch, released: prerelease.length === 0, isDate: isDate(bare), variant };
}

/** Number by number; prereleases below their release; build metadata and variants do not count. Below 0: `one` is lower. */
export function compareVersions(one: GuardVersion, other: GuardVersion): number {
  return compareSemanticVersions(one.bare, other.bare);
}

/** Of several, by semantic order. */
export function highestOf(versions: readonly GuardVersion[]): GuardVersion | undefined {
  return versions.reduce<GuardVersion | undefined>(
    (best, each) => (best === undefined || compareVersions(each, best) > 0 ? each : best),
    undefined,
  );
}
