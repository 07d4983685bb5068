import { splitVariant } from '../version/index.ts';
import { parseGuardVersion, type VariantNames } from './version.ts';

/** Which releases a moving tag speaks for: all, those of one major or minor line, those of one variant. */
export interface Coverage {
  readonly major?: number;
  readonly minor?: number;
  readonly variant?: string;
}

export type TagMobility = 'permanent' | 'moving' | 'other';

/**
 * `permanent`: full versions (prereleases too), precision tags (version and variant), commits. `moving`: `latest`, `1`,
 * `1.2`, variant names. `other`: branches, pull requests, dates, digest tags: rules of their own.
 */
export function mobilityOf(tag: string, names: VariantNames = {}): TagMobility {
  if (coverageOf(tag, names) !== undefined) return 'moving';
  const version = parseGuardVersion(tag, names);
  if (version !== undefined) return version.isDate ? 'other' : 'permanent';
  return isCommit(tag) ? 'permanent' : 'other';
}

/** What a moving tag covers; undefined when it is no moving tag. */
export function coverageOf(tag: string, { variants = [] }: VariantNames = {}): Coverage | undefined {
  if (tag === 'latest') return {};
  if (variants.includes(tag)) return { variant: tag };
  const { bare: line, variant } = splitVariant(tag, variants);
  const within = variant === undefined ? {} : { variant };
  if (line === 'latest') return within;
  const [, major, minor] = /^v?(0|[1-9][0-9]{0,5})(?:\.(0|[1-9][0-9]{0,5}))?$/.exec(line) ?? [];
  if (major === undefined) return undefined;
  return { major: Number(major), ...(minor !== undefined && { minor: Number(minor) }), ...within };
}

/** `sha-` and hex, or hex alone as long as git abbreviates it; a row of digits alone is more likely a date or a number. */
function isCommit(tag: string): boolean {
  return /^sha-[0-9a-f]{7,64}$/.test(tag) || (/^[0-9a-f]{7,64}$/.test(tag) && (/[a-f]/.test(tag) || tag.length >= 40));
}
