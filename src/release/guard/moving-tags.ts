import { WorkerError } from '../../errors/index.ts';
import { type Coverage, coverageOf } from './tag-mobility.ts';
import { compareVersions, type GuardVersion, highestOf, parseGuardVersion, type VariantNames } from './version.ts';

/** `auto`: unless a higher release is there. `always`: whatever is there. `never`: the tag stays. */
export type LatestMode = 'auto' | 'always' | 'never';

export interface MovingTagsRequest extends VariantNames {
  /** The version that is released now, of a variant `4.2.0-python3.9` or `4.2.0` with `variant`. */
  readonly version: string;
  /** Where the version does not carry it. */
  readonly variant?: string;
  /** The moving tags asked for: `latest`, `1`, `1.2`, `python3.9`. */
  readonly tags: readonly string[];
  /**
   * Versions the repository is known to have released: from release records, labels, or its tags as they are. What is no
   * version, a date or a prerelease takes no part; a variant counts for its own moving tags.
   */
  readonly released: readonly string[];
  /** The version that a moving tag stands for now, where that is known otherwise than by `released`. */
  readonly standsFor?: ReadonlyMap<string, string>;
  /** For `latest` and its variants; the other tags follow `auto` unless it is `never`. */
  readonly latest?: LatestMode;
}

export interface TagDecision {
  readonly tag: string;
  readonly moves: boolean;
  /** A sentence's end, for the plan and for people: `1.2.0 is higher`. */
  readonly reason: string;
}

/**
 * Which of the moving tags a new release may move (semantic order, never downwards). In the order asked for.
 * Throws RELEASE_TAG_INVALID for a tag that is none of the moving kinds.
 */
export function decideMovingTags(request: MovingTagsRequest): readonly TagDecision[] {
  const version = parseGuardVersion(request.version, request);
  const known = request.released.flatMap((text) => parseGuardVersion(text, request) ?? []).filter(takesPart);
  return request.tags.map((tag) => {
    const coverage = coverageOf(tag, request);
    if (coverage === undefined)
      throw new WorkerError('RELEASE_TAG_INVALID', `${tag} is no moving tag: latest, 1, 1.2 or a variant`, { tag });
    return { tag, ...decide(tag, coverage, version, known, request) };
  });
}

function decide(
  tag: string,
  coverage: Coverage,
  version: GuardVersion | undefined,
  known: readonly GuardVersion[],
  request: MovingTagsRequest,
): Omit<TagDecision, 'tag'> {
  const isLatest = coverage.major === undefined;
  const { latest: mode = 'auto' } = request;
  if (mode === 'never') return { moves: false, reason: 'asked never to move' };
  if (mode === 'always' && isLatest) return { moves: true, reason: 'asked always to move' };
  if (version === undefined) return { moves: false, reason: `${request.version} is no version` };
  if (!version.released) return { moves: false, reason: `${request.version} is a prerelease` };
  if (version.isDate) return { moves: false, reason: `${request.version} is a date` };
  const variant = version.variant ?? request.variant;
  if (!covers(coverage, version, variant)) return { moves: false, reason: `${request.version} is not of ${tag}` };
  const stands = parseGuardVersion(request.standsFor?.get(tag) ?? '', request);
  const rivals = known.filter((each) => isRival(coverage, each));
  const highest = highestOf([...rivals, ...(stands !== undefined && takesPart(stands) ? [stands] : [])]);
  if (highest === undefined) return { moves: true, reason: 'the first release' };
  return compareVersions(version, highest) < 0
    ? { moves: false, reason: `${highest.text} is higher` }
    : { moves: true, reason: `not lower than ${highest.text}` };
}

function takesPart({ isDate, released }: GuardVersion): boolean {
  return released && !isDate;
}

/** A tag without variant is for the primary image, whatever variant that is built as. */
function covers(coverage: Coverage, version: GuardVersion, variant: string | undefined): boolean {
  return inLine(coverage, version) && (coverage.variant === undefined || coverage.variant === variant);
}

/** A variant's tag looks at that variant's releases; a tag without variant at all, as each is a release of its version. */
function isRival(coverage: Coverage, version: GuardVersion): boolean {
  return inLine(coverage, version) && (coverage.variant === undefined || coverage.variant === version.variant);
}

function inLine({ major, minor }: Coverage, version: GuardVersion): boolean {
  return (major === undefined || version.major === major) && (minor === undefined || version.minor === minor);
}
