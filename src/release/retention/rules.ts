import type { Digest } from '../../digest/index.ts';

/** What is kept. Everything that these name is kept with all that belongs to it. */
export interface RetentionRules {
  /** So many of the newest releases, at least 1. */
  readonly keep: number;
  /** What newest means: when the image was made, or the higher version. */
  readonly order: 'created' | 'version';
  /** What nothing names stays until it is so old: a push puts children before their index. Milliseconds. */
  readonly graceMs: number;
  /** The time of the plan, milliseconds since the epoch. */
  readonly nowMs: number;
  /** Digests that somebody pins. */
  readonly protect: ReadonlySet<Digest>;
  /** Digests that objects of a store name, with the object that does: runtimes mount them. */
  readonly pinned: ReadonlyMap<Digest, string>;
  /** Commit tags go with the expired release they stand on. */
  readonly withCommitTags: boolean;
  /** What an interrupted run was about to delete: it has no grace a second time. */
  readonly begun: ReadonlySet<Digest>;
}
