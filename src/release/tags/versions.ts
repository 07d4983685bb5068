import { explain as explainPep440 } from '@renovatebot/pep440';
import { parseSemanticVersion } from '../version/index.ts';
import type { Names } from './template.ts';

/** A version as a pattern may name its parts. */
export interface ReadVersion {
  /** Prereleases (of Python also post and dev releases) have one tag, whatever the pattern, and are never `latest`. */
  readonly released: boolean;
  readonly names: Names & { readonly version: string; readonly raw: string };
}

/** Semantic Versioning 2.0: three numbers without leading zeros, one leading `v` allowed. undefined when it is none. */
export function readSemver(text: string): ReadVersion | undefined {
  const parsed = parseSemanticVersion(text);
  if (parsed === undefined) return undefined;
  const { major, minor, patch, prerelease, version } = parsed;
  return {
    released: prerelease.length === 0,
    names: { raw: text, version, major: String(major), minor: String(minor), patch: String(patch) },
  };
}

/** A Python version (PEP 440), normalised. undefined when it is none. */
export function readPep440(text: string): ReadVersion | undefined {
  const parsed = explainPep440(text);
  if (parsed === null) return undefined;
  const [major = 0, minor = 0, patch = 0] = parsed.release;
  return {
    released: !parsed.is_prerelease && !parsed.is_postrelease && !parsed.is_devrelease,
    names: { raw: text, version: parsed.public, major: String(major), minor: String(minor), patch: String(patch) },
  };
}
