import type { CapacityResponse, Worker } from '../../gen/clipyard/v1/worker.ts';
import type { WorkerStatus } from '../../queue/index.ts';
import type { WorkerControl } from '../../worker/index.ts';
import { dateOf, given, safeNumber, wireNumber } from './fields.ts';

type Capacity = Awaited<ReturnType<WorkerControl['capacity']>>;

/** A worker as its operator sees it: of its base layers only how many they are. */
export interface SeenWorker extends Omit<WorkerStatus, 'baseLayers'> {
  readonly warmLayers: number;
}

/** What a client is told of all workers and of the queue. */
export interface SeenCapacity extends Omit<Capacity, 'workers'> {
  readonly workers: readonly SeenWorker[];
}

export function capacityToProto({ depth, workers }: Capacity): CapacityResponse {
  return {
    workers: workers.map(workerToProto),
    queue: {
      queued: wireNumber(depth.queued),
      delayed: wireNumber(depth.delayed),
      running: wireNumber(depth.running),
      dead: wireNumber(depth.dead),
      oldestAgeMs: wireNumber(depth.oldestAgeMs),
      queuedByWorkspace: Object.fromEntries(
        [...depth.queuedByWorkspace].map(([workspaceId, count]) => [workspaceId, wireNumber(count)]),
      ),
    },
  };
}

export function capacityFromProto({ queue, workers }: CapacityResponse): SeenCapacity {
  const count = (value: bigint | undefined) => safeNumber(value ?? 0n, 'queue');
  return {
    workers: workers.map(workerFromProto),
    depth: {
      queued: count(queue?.queued),
      delayed: count(queue?.delayed),
      running: count(queue?.running),
      dead: count(queue?.dead),
      oldestAgeMs: count(queue?.oldestAgeMs),
      queuedByWorkspace: new Map(
        Object.entries(queue?.queuedByWorkspace ?? {}).map(([workspaceId, value]) => [workspaceId, count(value)]),
      ),
    },
  };
}

function workerToProto(worker: WorkerStatus): Worker {
  return {
    workerId: worker.workerId,
    version: worker.version,
    ready: worker.reason === undefined && !worker.draining,
    draining: worker.draining,
    reason: worker.reason ?? '',
    slots: worker.slots,
    freeSlots: worker.freeSlots,
    platforms: [...worker.platforms],
    diskFreeBytes: wireNumber(worker.diskFreeBytes),
    diskBytes: wireNumber(worker.diskBytes),
    seenAt: dateOf(worker.seenAtMs),
    warmLayers: worker.baseLayers.length,
  };
}

function workerFromProto({ diskBytes, diskFreeBytes, ready: _, reason, seenAt, ...rest }: Worker): SeenWorker {
  return {
    ...rest,
    reason: given(reason),
    diskFreeBytes: safeNumber(diskFreeBytes, 'worker.disk_free_bytes'),
    diskBytes: safeNumber(diskBytes, 'worker.disk_bytes'),
    seenAtMs: seenAt?.getTime() ?? 0,
  };
}
