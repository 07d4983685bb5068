import type { Digest } from '../../digest/index.ts';
import { decideMovingTags, type LatestMode, parseGuardVersion } from '../../release/index.ts';

export const LATEST = 'latest';

export interface TagsRequest {
  readonly version: string | undefined;
  readonly latest: LatestMode;
  /** Tags that the repository has. */
  readonly existing: readonly string[];
}

export interface PlannedTags {
  /** In the order in which they are written: the version, then `latest`. */
  readonly tags: readonly string[];
  /** Why `latest` is not among them. */
  readonly latestStays: string | undefined;
  /** Things that look like a mistake. */
  readonly warnings: readonly string[];
}

/** The tags of an image. `latest` follows the newest build, and never goes back to an older version unless asked to. */
export function planTags({ existing, latest, version }: TagsRequest): PlannedTags {
  if (version === undefined || version === LATEST)
    return latest === 'never'
      ? { tags: [], latestStays: 'asked never to move', warnings: [] }
      : { tags: [LATEST], latestStays: undefined, warnings: [] };
  const [decision] = decideMovingTags({ version, tags: [LATEST], released: existing, latest });
  const moves = decision?.moves === true;
  return {
    tags: moves ? [version, LATEST] : [version],
    latestStays: moves ? undefined : decision?.reason,
    warnings: otherSpelling(version, existing),
  };
}

/** `v1.2.0` beside `1.1.0`, or the other way round. */
function otherSpelling(version: string, existing: readonly string[]): readonly string[] {
  const hasV = (text: string) => text.startsWith('v');
  const others = existing.filter((tag) => tag !== version && parseGuardVersion(tag) !== undefined);
  const [other] = others;
  if (parseGuardVersion(version) === undefined || other === undefined) return [];
  if (others.some((tag) => hasV(tag) === hasV(version))) return [];
  return [
    `${version} is kept as given, but the other versions are written ${hasV(version) ? 'without' : 'with'} v (${other})`,
  ];
}

/** What became of a tag. */
export interface TagOutcome {
  readonly tag: string;
  /** `not-moved`: a higher version has it. `would-push`: nothing was written, as asked. */
  readonly outcome: 'pushed' | 'unchanged' | 'not-moved' | 'would-push';
  readonly before?: Digest | undefined;
  readonly reason?: string | undefined;
}
