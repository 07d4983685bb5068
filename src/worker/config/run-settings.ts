import type { QueueSettings } from '../../queue/index.ts';
import type { IntakeLimits } from '../intake/intake-limits.ts';
import type { RunLimits } from '../run/limits.ts';
import type { RetryPolicy } from '../run/retry-policy.ts';
import type { LogLimits } from '../run/run-job.ts';
import { bytesOf, type WorkerConfig } from './worker-config.ts';

const LOG_CHUNK_BYTES = 4 * 1024 ** 2;
/** Clean retries count too, and may not be the reason why a build is taken for one that kills workers. */
const SPARE_TAKES = 3;

/** The configuration as one job meets it. */
export function runSettings({ limits, retry }: WorkerConfig): {
  readonly limits: RunLimits;
  readonly logLimits: LogLimits;
  readonly retry: RetryPolicy;
} {
  return {
    limits: {
      buildMs: limits.buildSeconds * 1000,
      phaseMs: {
        preparing: limits.preparingSeconds * 1000,
        building: limits.buildingSeconds * 1000,
        landing: limits.landingSeconds * 1000,
        packing: limits.packingSeconds * 1000,
        pushing: limits.pushingSeconds * 1000,
        archiving: limits.archivingSeconds * 1000,
        publishing: limits.publishingSeconds * 1000,
      },
      imageBytes: bytesOf(limits.imageBytes),
      layers: limits.layers,
    },
    logLimits: {
      maxBytes: bytesOf(limits.logBytes),
      maxLiveBytes: bytesOf(limits.liveLogBytes),
      chunkBytes: LOG_CHUNK_BYTES,
    },
    retry: { maxAttempts: retry.maxAttempts, maxDelayMs: retry.maxDelaySeconds * 1000 },
  };
}

/** The configuration as the queue meets it. */
export function queueSettings({ queue, retry }: WorkerConfig, now: () => number): QueueSettings {
  return {
    leaseMs: queue.leaseSeconds * 1000,
    maxAttempts: retry.maxAttempts + SPARE_TAKES,
    weights: new Map(Object.entries(queue.weights)),
    maxRunningPerWorkspace: queue.maxRunningPerWorkspace,
    warmWaitMs: queue.warmWaitSeconds * 1000,
    now,
  };
}

/** The configuration as a submitted context meets it. */
export function intakeLimits({ intake }: WorkerConfig): IntakeLimits {
  return {
    maxUploadBytes: bytesOf(intake.uploadBytes),
    maxContextBytes: bytesOf(intake.contextBytes),
    maxEntries: intake.entries,
    maxDepth: intake.depth,
    gitTimeoutMs: intake.gitSeconds * 1000,
    keepUploadsMs: intake.keepSeconds * 1000,
  };
}
