import semver from 'semver';

/** A version as the guards compare it, read from a tag or given by a person. */
export interface GuardVersion {
  /** As it was written, with `v` and variant. */
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Nothing behind the three numbers but build metadata and a known variant. */
  readonly released: boolean;
  /** `2029.1.9` reads as a version and would win for ever: a tag of its own kind. */
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
  const variant = longestVariant(text, variants);
  const bare = variant === undefined ? text : text.slice(0, -variant.length - 1);
  if (!/^v?[0-9]/.test(bare)) return undefined;
  const parsed = semver.parse(bare);
  if (parsed === null) return undefined;
  const { major, minor, patch, prerelease } = parsed;
  const released = prerelease.length === 0;
  return { text, major, minor, patch, released, isDate: released && isDate(major, minor, patch), variant };
}

/** Number by number; prereleases below their release; build metadata and variants do not count. Below 0: `one` is lower. */
export function compareVersions(one: GuardVersion, other: GuardVersion): number {
  return semver.compare(bareOf(one), bareOf(other));
}

/** Of several, by semantic order. */
export function highestOf(versions: readonly GuardVersion[]): GuardVersion | undefined {
  return versions.reduce<GuardVersion | undefined>(
    (best, each) => (best === undefined || compareVersions(each, best) > 0 ? each : best),
    undefined,
  );
}

function bareOf({ text, variant }: GuardVersion): string {
  return variant === undefined ? text : text.slice(0, -variant.length - 1);
}

/** `-python3.13` must not be taken for `-python3.1` with something left over: the longest name that fits. */
function longestVariant(text: string, variants: readonly string[]): string | undefined {
  const fitting = variants.filter((name) => name !== '' && text.endsWith(`-${name}`) && text.length > name.length + 1);
  return fitting.toSorted((one, other) => other.length - one.length)[0];
}

function isDate(major: number, minor: number, patch: number): boolean {
  return major >= 1970 && major <= 2999 && minor >= 1 && minor <= 12 && patch >= 1 && patch <= 31;
}
