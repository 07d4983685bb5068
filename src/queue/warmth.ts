import type { QueueSettings } from './build-queue.ts';
import type { WorkerStatus } from './records.ts';

/** What decides who may take a job. */
export interface Needs {
  readonly platforms: readonly string[];
  readonly baseLayers: readonly string[];
  /** Since when it could run. */
  readonly availableAtMs: number;
}

/** A worker that was silent for so many leases is forgotten. */
export const SILENT_LEASES = 2;

const has = (all: readonly string[], wanted: readonly string[]): boolean => wanted.every((it) => all.includes(it));

export const takesWork = (worker: WorkerStatus): boolean => !worker.draining && worker.reason === undefined;

export const canBuild = (worker: WorkerStatus, job: Needs): boolean => has(worker.platforms, job.platforms);

export const isHeard = (worker: WorkerStatus, { leaseMs, now }: QueueSettings): boolean =>
  now() - worker.seenAtMs < leaseMs * SILENT_LEASES;

/** True while another worker has the base layers, a free slot and had no time to come for the job. */
export function isLeftToAnother(
  job: Needs,
  taker: WorkerStatus,
  workers: readonly WorkerStatus[],
  settings: QueueSettings,
): boolean {
  if (job.baseLayers.length === 0 || has(taker.baseLayers, job.baseLayers)) return false;
  if (settings.now() - job.availableAtMs >= settings.warmWaitMs) return false;
  return workers.some(
    (it) =>
      it.workerId !== taker.workerId &&
      it.freeSlots > 0 &&
      takesWork(it) &&
      canBuild(it, job) &&
      has(it.baseLayers, job.baseLayers) &&
      isHeard(it, settings),
  );
}
