import { decideMovingTags } from './moving-tags.ts';
import { mobilityOf } from './tag-mobility.ts';

/** What a release may do with a tag that was calculated for it. */
export interface GuardedTag {
  readonly tag: string;
  /** It names one image for ever: a full version, a commit. */
  readonly permanent: boolean;
  /** Why it stays where it is; undefined: it may be set. */
  readonly stays: string | undefined;
}

/**
 * The tags of a release against what the repository has released: versions and commits are permanent, `latest`, `1` and `1.2` move unless a
 * higher version of theirs is there, other tags (branches, pull requests) are free. Pure; in the order given.
 */
export function guardReleaseTags(
  tags: readonly string[],
  { released, version }: { readonly version: string; readonly released: readonly string[] },
): readonly GuardedTag[] {
  return tags.map((tag) => {
    const mobility = mobilityOf(tag);
    if (mobility !== 'moving') return { tag, permanent: mobility === 'permanent', stays: undefined };
    const [decision] = decideMovingTags({ version, released, tags: [tag] });
    return { tag, permanent: false, stays: decision?.moves === false ? decision.reason : undefined };
  });
}
