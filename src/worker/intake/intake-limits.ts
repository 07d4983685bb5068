/** What a submitted context may cost. Beyond a limit is LIMIT_EXCEEDED. */
export interface IntakeLimits {
  /** Of a context as it comes, compressed or not. */
  readonly maxUploadBytes: number;
  /** Of all its files together, unpacked. */
  readonly maxContextBytes: number;
  readonly maxEntries: number;
  /** Names in one path. */
  readonly maxDepth: number;
  /** Of one call of git: a fetch, a checkout. */
  readonly gitTimeoutMs: number;
  /** How long an upload stays that no build waits for, from when it was last uploaded. */
  readonly keepUploadsMs: number;
}

/** Generous for source trees; a data set or a forgotten home folder is refused. */
export const DEFAULT_INTAKE_LIMITS: IntakeLimits = {
  maxUploadBytes: 4 * 1024 ** 3,
  maxContextBytes: 16 * 1024 ** 3,
  maxEntries: 500_000,
  maxDepth: 256,
  gitTimeoutMs: 10 * 60_000,
  keepUploadsMs: 24 * 3_600_000,
};
