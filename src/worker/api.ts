import type { Cancelable } from '../errors/index.ts';
import type {
  BuildRecord,
  ListPage,
  ListQuery,
  QueueDepth,
  Submitted as QueueSubmitted,
  StoredEvent,
  WorkerStatus,
} from '../queue/index.ts';
import type { BuildSpec } from './build-spec.ts';

/**
 * What a worker does for its callers, without a wire: `service/` puts gRPC before it. Every method takes the workspace from
 * the caller's token and shows nothing of any other.
 */
export interface Builds {
  /** Stores a context under its digest. Throws LIMIT_EXCEEDED. */
  upload(
    workspaceId: string,
    bytes: AsyncIterable<Uint8Array>,
    options: Cancelable,
  ): Promise<{ readonly digest: string; readonly sizeBytes: number }>;

  /** Checks, resolves what the build's outcome depends on, and queues it. Throws what a build can be refused for. */
  submit(workspaceId: string, request: SubmitRequest, options: Cancelable): Promise<Submitted>;

  /** Throws BUILD_NOT_FOUND, as do the next two. */
  get(workspaceId: string, buildId: string, options: Cancelable): Promise<BuildView>;
  cancel(workspaceId: string, buildId: string, reason: string, options: Cancelable): Promise<BuildView>;
  watch(
    workspaceId: string,
    buildId: string,
    options: Cancelable & { readonly after: number; readonly skipLogs?: boolean },
  ): AsyncIterable<StoredEvent>;

  list(workspaceId: string, query: ListQuery, options: Cancelable): Promise<ListPage>;
}

export interface SubmitRequest {
  readonly spec: BuildSpec;
  readonly secrets: readonly SecretValue[];
  readonly idempotencyKey: string | undefined;
  /** 0 to 9; default 5. */
  readonly priority: number | undefined;
  /** undefined: a published build of any age is an answer. */
  readonly maxAgeMs: number | undefined;
  /** undefined: the worker's limit. */
  readonly timeoutMs: number | undefined;
}

/** A secret as it came; it is sealed before anything is stored. */
export interface SecretValue {
  readonly id: string;
  readonly version: string;
  readonly value: Uint8Array;
}

export interface Submitted {
  readonly build: BuildView;
  /** `published`: manifest and archive of the same build are there, and nothing is done. */
  readonly how: QueueSubmitted['how'] | 'published';
}

export interface BuildView extends BuildRecord {
  /** Jobs that would go before it; undefined when it is not queued. */
  readonly position: number | undefined;
}

/** Archives of a workspace. */
export interface Archives {
  /** Throws STORE_OBJECT_NOT_FOUND, PLATFORM_NOT_FOUND. */
  resolve(
    workspaceId: string,
    image: { readonly imageId: string } | { readonly manifestDigest: string },
    options: Cancelable & { readonly platform?: string },
  ): Promise<{ readonly archives: readonly ArchiveView[]; readonly generation: number }>;

  indexImage(
    workspaceId: string,
    request: { readonly reference: string; readonly platform?: string; readonly imageId?: string },
    options: Cancelable,
  ): Promise<{
    readonly archive: ArchiveView;
    readonly entries: number;
    readonly plainBytes: number;
    readonly durationMs: number;
  }>;
}

export interface ArchiveView {
  readonly platform: string;
  readonly uri: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly storageRef: string;
  readonly manifestDigest: string;
  /** An address that needs no login, with its end in milliseconds since 1970. */
  readonly url: { readonly href: string; readonly expiresAtMs: number } | undefined;
}

/** The worker itself, for operators. */
export interface WorkerControl {
  /** This one first. */
  capacity(options: Cancelable): Promise<{ readonly workers: readonly WorkerStatus[]; readonly depth: QueueDepth }>;
  /** Takes no more builds; returns when the last one is finished or handed back. undefined: the worker's own budget. */
  drain(
    budgetMs: number | undefined,
    options: Cancelable,
  ): Promise<{ readonly finished: number; readonly handedBack: number }>;
}
