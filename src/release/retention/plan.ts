import type { Digest } from '../../digest/index.ts';

/** `tag`: the tag alone, what it names stays. `manifest`: the manifest, and with it every tag on it. */
export type Deletion =
  | { readonly kind: 'tag'; readonly tag: string; readonly digest: Digest; readonly reason: string }
  | {
      readonly kind: 'manifest';
      readonly digest: Digest;
      /** All that are on it, in text order. */
      readonly tags: readonly string[];
      readonly reason: string;
    };

export interface Keep {
  readonly digest: Digest;
  /** Those that stay. */
  readonly tags: readonly string[];
  /** What keeps it. */
  readonly reason: string;
}

export interface RetentionPlan {
  /** In the order they are carried out: an index before its children, a subject before its referrers. */
  readonly deletions: readonly Deletion[];
  readonly keeps: readonly Keep[];
  /** Versions, the newest first. */
  readonly keptReleases: readonly string[];
  readonly expiredReleases: readonly string[];
}
