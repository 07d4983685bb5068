import type { Digest } from '../../digest/index.ts';
import type { ErrorCode } from '../../errors/index.ts';
import type { Repository } from '../../registry/index.ts';
import type { TagReading } from './read-tag.ts';

/** A tag, what it says, and the manifest it named when it was looked at. */
export interface TagEntry extends TagReading {
  readonly tag: string;
  readonly digest: Digest;
}

/** What an index says of one of its manifests. */
export interface Child {
  readonly digest: Digest;
  /** `os/architecture[/variant]`; absent where the index says none or `unknown/unknown`. */
  readonly platform?: string | undefined;
  /** BuildKit's attestations are children too. */
  readonly isAttestation: boolean;
  /** False for what is no manifest by its media type; it cannot be asked for as one. */
  readonly isManifest: boolean;
}

export interface ManifestEntry {
  readonly digest: Digest;
  readonly kind: 'index' | 'manifest';
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly artifactType?: string | undefined;
  /** Of an index, in its order. */
  readonly children: readonly Child[];
  /** What this one is a referrer of. */
  readonly subject?: Digest | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /**
   * When the image was made, not when it was pushed: milliseconds. Read for what is no child. Absent where nothing says so, or what
   * says so is a constant that reproducible builds write.
   */
  readonly createdMs?: number | undefined;
  /** What label or annotation call the image's version, as written. */
  readonly versionText?: string | undefined;
  /** Where the registry's own listing says it: when the manifest came. */
  readonly pushedMs?: number | undefined;
}

/** A part that could not be read. */
export interface InventoryProblem {
  readonly part: 'tag' | 'manifest' | 'config' | 'referrers';
  /** The tag or digest. */
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** What a repository holds, as far as it can be seen. Whoever deletes must look at `problems` first. */
export interface Inventory {
  readonly repository: Repository;
  /** By name, in text order. */
  readonly tags: ReadonlyMap<string, TagEntry>;
  readonly manifests: ReadonlyMap<Digest, ManifestEntry>;
  /** Named by an index, a subject or a digest tag, and surely not there (404). */
  readonly absent: ReadonlySet<Digest>;
  /** Whether also manifests are seen that nothing names. The distribution API lists tags only. */
  readonly seesUntagged: boolean;
  /** Empty: the inventory is complete. */
  readonly problems: readonly InventoryProblem[];
}
