import { type Digest, isDigest } from '../../digest/index.ts';
import { isDate, splitVariant } from '../version/index.ts';
import { readVersion, type Version } from './read-version.ts';

/**
 * What a tag is by its look. `version`, `prerelease` and `precision` (version and variant) name a version; `digest` belongs to
 * another manifest; `branch` is what is nothing else.
 */
export type TagKind =
  | 'version'
  | 'prerelease'
  | 'precision'
  | 'moving'
  | 'date'
  | 'commit'
  | 'pull-request'
  | 'cache'
  | 'digest'
  | 'branch';

export interface TagReading {
  readonly kind: TagKind;
  /** Of the kinds that name one. */
  readonly version?: Version | undefined;
  /** Of a precision tag, or of a moving one (`1.2-python3.9`, `python3.9`). */
  readonly variant?: string | undefined;
  /** Of a digest tag (`sha256-<hex>`, with `.sig` and the like): what it belongs to. */
  readonly subject?: Digest | undefined;
}

export interface TagReadingOptions {
  /** Suffixes that are variants and no prereleases: `python3.9`. */
  readonly variants: ReadonlySet<string>;
  /** What the image's label says of its version: it tells `1.2.3+b1` from a prerelease `b1`, and variants from prereleases. */
  readonly versionText?: string | undefined;
}

const DIGEST_TAG = /^sha256-([0-9a-f]{64})(?:\.[A-Za-z0-9._-]+)?$/;
const COMMIT = /^(?:sha-)?[0-9a-f]{7,64}$/;
const PULL_REQUEST = /^pr-\d+$/;
const CACHE = /^(?:build-?)?cache$|^(?:build-?)?cache[-.]|[-.](?:build-?)?cache$/;
const MOVING = /^(?:latest|edge|nightly|stable|rolling|canary|next|lts)$|^latest-|-latest$/;
const LINE = /^v?\d{1,6}(?:\.\d{1,6})?$/;
const PRERELEASE =
  /^(?:a|alpha|b|beta|c|rc|pre|preview|dev|snapshot|m|milestone|next|canary|nightly)?[-.]?\d*(?:[-.]\d+)*$/i;

export function readTag(tag: string, { variants, versionText }: TagReadingOptions): TagReading {
  const subject = subjectOf(tag);
  if (subject !== undefined) return { kind: 'digest', subject };
  if (CACHE.test(tag)) return { kind: 'cache' };
  if (PULL_REQUEST.test(tag)) return { kind: 'pull-request' };
  if (isDate(tag)) return { kind: 'date' };
  return (
    readByLabel(tag, versionText) ??
    readVersionTag(tag, variants) ??
    readMoving(tag, variants) ?? { kind: COMMIT.test(tag) ? 'commit' : 'branch' }
  );
}

/**
 * Variants that the tags themselves tell: what ends the tag of a version and is a tag of its own. `given` are known from elsewhere.
 */
export function variantsAmong(tags: readonly string[], given: readonly string[] = []): ReadonlySet<string> {
  const alone = new Set(tags);
  const suffixes = tags.flatMap((tag) => {
    if (!/^v?\d+\.\d+\.\d+-/.test(tag)) return [];
    // Behind each dash: `rc.1-slim-python3.9` may end in `slim-python3.9` or in `python3.9`.
    return [...tag.matchAll(/-/g)].map(({ index }) => tag.slice(index + 1));
  });
  return new Set([...given, ...suffixes.filter((suffix) => alone.has(suffix) && !PRERELEASE.test(suffix))]);
}

/** What a digest tag belongs to, undefined for every other tag. */
export function subjectOf(tag: string): Digest | undefined {
  const [, hex] = DIGEST_TAG.exec(tag) ?? [];
  const digest = `sha256:${hex ?? ''}`;
  return isDigest(digest) ? digest : undefined;
}

/** A tag has no `+`: it was written as `-`. Only the label still knows. */
function readByLabel(tag: string, versionText: string | undefined): TagReading | undefined {
  const version = versionText === undefined ? undefined : readVersion(versionText);
  if (versionText === undefined || version === undefined) return undefined;
  const bare = tag.replace(/^v/, '');
  const written = versionText.replace(/^v/, '').replaceAll('+', '-');
  if (bare === written) return { kind: version.released ? 'version' : 'prerelease', version };
  const variant = bare.startsWith(`${written}-`) ? bare.slice(written.length + 1) : '';
  return variant === '' || PRERELEASE.test(variant) ? undefined : { kind: 'precision', version, variant };
}

function readVersionTag(tag: string, variants: ReadonlySet<string>): TagReading | undefined {
  const { bare, variant } = splitVariant(tag, variants);
  const version = readVersion(bare);
  if (version === undefined) return undefined;
  if (variant !== undefined) return { kind: 'precision', version, variant };
  return { kind: version.released ? 'version' : 'prerelease', version };
}

function readMoving(tag: string, variants: ReadonlySet<string>): TagReading | undefined {
  if (variants.has(tag)) return { kind: 'moving', variant: tag };
  const { bare, variant } = splitVariant(tag, variants);
  return MOVING.test(tag) || LINE.test(bare) ? { kind: 'moving', variant } : undefined;
}
