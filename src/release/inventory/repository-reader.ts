import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { Descriptor } from '../../oci/index.ts';
import type { FetchedManifest, Repository } from '../../registry/index.ts';

/** A manifest as a registry's own listing knows it (a "version" of GitHub's packages API). */
export interface ListedManifest {
  readonly digest: Digest;
  readonly pushedMs?: number | undefined;
}

/** The reading side of a repository. Every method throws for whatever it cannot tell: only 404 means absent. */
export interface RepositoryReader {
  readonly repository: Repository;
  /** All tags, or an error; none when there is no such repository. */
  listTags(options: Cancelable): Promise<readonly string[]>;
  /** undefined when the tag is surely not there. */
  headTag(tag: string, options: Cancelable): Promise<Digest | undefined>;
  /** undefined when it is surely not there. */
  readManifest(digest: Digest, options: Cancelable): Promise<FetchedManifest | undefined>;
  /** A small blob. undefined when it is surely not there. */
  readBlob(digest: Digest, maxBytes: number, options: Cancelable): Promise<Uint8Array | undefined>;
  /** Through the referrers API; none where there is no such API: its fallback are digest tags, which are tags. */
  listReferrers(digest: Digest, options: Cancelable): Promise<readonly Descriptor[]>;
  /** Every manifest, where the registry lists them. */
  listManifests?(options: Cancelable): Promise<readonly ListedManifest[]>;
}
