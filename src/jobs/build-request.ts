import type { ImageId, WorkspaceId } from '../archive/index.ts';
import type { BuildRequest as BuildkitRequest } from '../buildkit/index.ts';
import type { Digest } from '../digest/index.ts';
import type { ArchiveFormat, Codec, Compression, Level } from '../indexer/index.ts';
import type { PushOutcome, Repository } from '../registry/index.ts';
import type { Phase } from './phases.ts';

/** One image to build and publish. */
export interface ImageBuild {
  readonly workspaceId: WorkspaceId;
  readonly imageId: ImageId;
  /** Where the image is pushed to. */
  readonly target: Repository;
  /** What BuildKit is asked for; the exporter is ours. */
  readonly build: BuildkitRequest;
  readonly compression: Compression;
  /** Pack again even what the cache holds. */
  readonly useCache: boolean;
  /** A valid OCI layout of exactly what is pushed goes here. */
  readonly layoutDir: string | undefined;
  /** What kind of archive is published; the pushed image is the same. */
  readonly archiveFormat: ArchiveFormat;
  /** A second key for the archive in the store. */
  readonly alsoAs: string | undefined;
  /**
   * What the archive is made from: the layout, while the image is pushed; or the registry after the push, as workers did before
   * (a baseline for measurements). Both give the same archive.
   */
  readonly indexFrom: IndexFrom;
  /** The registry gets the image by digest alone: who asked for the build sets the tags. */
  readonly isUntagged?: boolean;
}

export type IndexFrom = 'layout' | 'registry';

/** The result of a build; its JSON form is a contract (README, "Output of build"). */
export interface BuildResult {
  readonly workspaceId: string;
  readonly imageId: string;
  readonly imageTag: string;
  readonly sourceRef: string;
  readonly storageRef: string;
  /** What the tag names: the index where there are several platforms, else the one manifest. */
  readonly manifestDigest: Digest;
  readonly platforms: readonly string[];
  readonly layers: readonly BuiltLayer[];
  readonly archives: readonly BuiltArchive[];
  /** Provenance and SBOMs that are in the index. */
  readonly attestations: readonly BuiltAttestation[];
  readonly phases: readonly Phase[];
  readonly bytesPushed: number;
  /** How new layers were packed. */
  readonly compression: UsedCompression;
  readonly buildkit: { readonly cachedSteps: number; readonly steps: number };
  readonly generation: number;
}

export interface UsedCompression {
  readonly codec: Codec;
  /** As it was asked for. */
  readonly level: Level;
  /** In the order they were first used; with `auto` there may be several, and none when every layer was packed before. */
  readonly levels: readonly number[];
  /** Why: `asked`, or what was seen of the push. */
  readonly reason: string;
}

export interface BuiltLayer {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly plainBytes: number;
  readonly packed: 'new' | 'cached' | 'kept';
  readonly pushed: PushOutcome;
}

export interface BuiltAttestation {
  readonly manifestDigest: Digest;
  /** The manifest it speaks of. */
  readonly subject: Digest;
  readonly predicateTypes: readonly string[];
}

export interface BuiltArchive {
  readonly platform: string;
  readonly uri: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly entries: number;
  /** What a mount fetches of it: footer, metadata image, layer tables. */
  readonly mountBytes: number;
  readonly manifestDigest: Digest;
}
