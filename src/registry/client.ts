import type { Readable } from 'node:stream';
import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { Descriptor } from '../oci/index.ts';
import type { GrowingBlob } from './growing-blob.ts';
import type { Reference, Repository } from './reference.ts';

/**
 * A blob that is to be pushed: on disk, when small in memory, or read from elsewhere piece by piece, a piece again after a failed
 * try. Its digest is the giver's word; the registry checks it.
 */
export type BlobSource = { readonly digest: Digest; readonly sizeBytes: number } & (
  | { readonly path: string }
  | { readonly bytes: Uint8Array }
  | { readonly read: (start: number, end: number) => AsyncIterable<Uint8Array> }
);

/** What became of a blob: its bytes went over the wire, the registry copied it from a repository of its own, or it had it. */
export type PushOutcome = 'sent' | 'mounted' | 'present';

/** How whoever pushes hears of the uploads that a registry keeps for it. */
export interface UploadOptions extends Cancelable {
  /**
   * Called with the address of an upload before a byte is sent: who writes it down can drop with `dropUpload` what a killed
   * process leaves at the registry. It may hold a signature of the registry's. What it throws stops the push.
   */
  readonly onBegun?: (uploadUrl: string) => Promise<void>;
}

export interface PushOptions extends UploadOptions {
  /** Other repositories of the same registry that may have the blob, tried in order. */
  readonly mountFrom?: readonly string[];
  /** Bytes of the blob that the registry has taken so far. */
  readonly onProgress?: (sentBytes: number) => void;
}

/** How a blob is pushed while it is written. */
export interface FollowOptions extends UploadOptions {
  /** Bytes of the blob that were sent so far. */
  readonly onProgress?: (sentBytes: number) => void;
  /** Runs each request that carries bytes when it is its turn; waiting for the writer takes no turn. */
  readonly turn?: (work: () => Promise<void>) => Promise<void>;
}

export interface FollowedBlob {
  readonly outcome: 'sent' | 'present';
  /** Bytes that the registry took: of a blob that it turned out to have, too. */
  readonly sentBytes: number;
}

/** Bytes of a blob: from `offset`, `length` of them or all that follow. */
export interface BlobRange {
  readonly offset: number;
  readonly length?: number;
}

export interface FetchedManifest {
  /** Exactly as stored; their digest is `digest`. */
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** `absent`: there was nothing to delete. */
export type DeleteOutcome = 'deleted' | 'absent';

/**
 * One registry client of distribution-spec 1.1. Every method retries what is worth it, and throws REGISTRY_UNAVAILABLE,
 * REGISTRY_THROTTLED, REGISTRY_STALLED, REGISTRY_UNAUTHENTICATED, REGISTRY_DENIED, REGISTRY_NOT_FOUND, REGISTRY_REFUSED,
 * REGISTRY_PROTOCOL or REGISTRY_INSECURE.
 */
export interface RegistryClient extends AsyncDisposable {
  /** Whether the registry answers, and takes the login if it wants one. */
  ping(registry: string, options: Cancelable): Promise<void>;
  headBlob(
    repository: Repository,
    digest: Digest,
    options: Cancelable,
  ): Promise<{ readonly sizeBytes: number } | undefined>;
  /**
   * The bytes of a blob, taken up again where a connection breaks. A whole blob ends with BLOB_MISMATCH when its digest is
   * another; of a range only the length is checked.
   */
  getBlobStream(
    repository: Repository,
    digest: Digest,
    options: Cancelable & { readonly range?: BlobRange },
  ): Promise<Readable>;
  pushBlob(repository: Repository, blob: BlobSource, options: PushOptions): Promise<PushOutcome>;
  /** `pushBlob` for a blob whose writer is not done yet; it ends when the blob does. */
  pushGrowing(repository: Repository, blob: GrowingBlob, options: FollowOptions): Promise<FollowedBlob>;
  /** Drops an upload that was begun and left; a finished one is none. False: the registry did not answer. Never throws. */
  dropUpload(repository: Repository, uploadUrl: string): Promise<boolean>;
  /** By tag or digest; undefined when there is none. */
  headManifest(repository: Repository, name: string, options: Cancelable): Promise<Descriptor | undefined>;
  getManifest(repository: Repository, name: string, options: Cancelable): Promise<FetchedManifest>;
  /** Under a tag or its digest. Throws BLOB_MISSING when the registry lacks a blob that it names. */
  putManifest(
    repository: Repository,
    name: string,
    bytes: Uint8Array,
    mediaType: string,
    options: Cancelable,
  ): Promise<Descriptor>;
  /** The same bytes under several tags, set in order where the registry does not set them at once. */
  putManifestTags(
    repository: Repository,
    bytes: Uint8Array,
    mediaType: string,
    options: Cancelable & { readonly tags: readonly string[] },
  ): Promise<Descriptor>;
  /**
   * By digest: the manifest with every tag on it. By tag: the tag alone, never what it names. Throws
   * REGISTRY_DELETE_UNSUPPORTED when the registry refuses that; `details.what` says whether of a `tag` or a `manifest`.
   */
  deleteManifest(repository: Repository, name: string, options: Cancelable): Promise<DeleteOutcome>;
  /** Manifests that name this one as their subject: by the registry, or by the fallback tag where it keeps no such list. */
  listReferrers(
    repository: Repository,
    subject: Digest,
    options: Cancelable & { readonly artifactType?: string },
  ): Promise<readonly Descriptor[]>;
  /**
   * `putManifest` by digest for a manifest with a `subject`; where the registry keeps no list of referrers, the one under the
   * fallback tag gets it. Throws MANIFEST_INVALID, REGISTRY_RACE_LOST.
   */
  pushReferrer(repository: Repository, bytes: Uint8Array, mediaType: string, options: Cancelable): Promise<Descriptor>;
  /** All tags of a repository, none when there is no such repository. Throws REGISTRY_LIST_INCOMPLETE rather than a part. */
  listTags(repository: Repository, options: Cancelable & { readonly maxTags?: number }): Promise<readonly string[]>;
  /** `getManifest` by what the reference says. */
  resolve(reference: Reference, options: Cancelable): Promise<FetchedManifest>;
}
