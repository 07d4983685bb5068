/** How long and how much the client bears; every field has a default. */
export interface RegistryLimits {
  /** To connect, TLS included. */
  readonly connectTimeoutMs: number;
  /** Without a single byte moving in either direction: REGISTRY_STALLED. */
  readonly stallTimeoutMs: number;
  /** For a whole request that is not a blob's bytes. */
  readonly requestTimeoutMs: number;
  /** Tries of one request, the first included. */
  readonly attempts: number;
  /** First pause between tries; it doubles, with jitter, up to `maxPauseMs`. A longer Retry-After is obeyed. */
  readonly pauseMs: number;
  readonly maxPauseMs: number;
  /** When the tries of one operation must have ended; a Retry-After beyond it is not waited for. */
  readonly retryBudgetMs: number;
  /** Larger manifests are refused. */
  readonly maxManifestBytes: number;
  /** Blobs up to this size are sent in one PUT, larger ones in chunks of `chunkBytes`. */
  readonly monolithicBytes: number;
  readonly chunkBytes: number;
  readonly connectionsPerHost: number;
}

export const DEFAULT_LIMITS: RegistryLimits = {
  connectTimeoutMs: 10_000,
  stallTimeoutMs: 30_000,
  requestTimeoutMs: 60_000,
  attempts: 6,
  pauseMs: 200,
  maxPauseMs: 10_000,
  retryBudgetMs: 120_000,
  maxManifestBytes: 4 * 1024 * 1024,
  monolithicBytes: 8 * 1024 * 1024,
  chunkBytes: 64 * 1024 * 1024,
  connectionsPerHost: 16,
};
