import semver from 'semver';

/** A version to compare by. */
export interface Version {
  /** Without `v` and build metadata: two versions that differ only there are one. */
  readonly text: string;
  /** Not a prerelease. */
  readonly released: boolean;
}

/** `2029.1.9`, `2029-01-09`, `20290109`, with or without a time behind: as a version it would win for ever. */
const DATE = /^(\d{4})([.-]?)(\d{1,2})\2(\d{1,2})(?:[-T.]\d{2,6})?$/;

/** Semantic Versioning 2.0 with one leading `v` allowed. undefined for anything else, and for a date. */
export function readVersion(text: string): Version | undefined {
  if (!/^v?\d/.test(text) || isDate(text)) return undefined;
  const parsed = semver.parse(text);
  return parsed === null ? undefined : { text: parsed.version, released: parsed.prerelease.length === 0 };
}

/** By semver's order; negative when `a` is lower. Takes what `readVersion` gave. */
export function compareVersions(a: Version, b: Version): number {
  return semver.compare(a.text, b.text);
}

/** Whether the text is a calendar date, dots and all. */
export function isDate(text: string): boolean {
  const [, year = '', separator = '', month = '', day = ''] = DATE.exec(text.replace(/^v/, '')) ?? [];
  if (separator === '' && month.length + day.length !== 4) return false;
  const [y, m, d] = [Number(year), Number(month), Number(day)];
  return y >= 1990 && y < 2200 && m >= 1 && m <= 12 && d >= 1 && d <= 31;
}
