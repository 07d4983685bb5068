import type { QueueSettings, Submission, WorkerStatus } from '../../../src/queue/index.ts';

let count = 0;

/** A submission like no other, but for what is given. */
export function submission(workspaceId: string, given: Partial<Submission> = {}): Submission {
  count += 1;
  return {
    workspaceId,
    imageId: `image${count}`,
    spec: { number: count },
    key: `key ${count}`,
    idempotencyKey: undefined,
    priority: 5,
    deadlineMs: undefined,
    platforms: ['linux/amd64'],
    baseLayers: [],
    ...given,
  };
}

export const worker = (workerId: string, given: Partial<WorkerStatus> = {}): WorkerStatus => ({
  workerId,
  version: '0',
  slots: 4,
  freeSlots: 4,
  draining: false,
  reason: undefined,
  platforms: ['linux/amd64'],
  diskFreeBytes: 1,
  diskBytes: 2,
  baseLayers: [],
  seenAtMs: 0,
  ...given,
});

/** A clock that moves when it is told to. */
export class Clock {
  #nowMs = 1_700_000_000_000;
  readonly now = (): number => this.#nowMs;

  advance(byMs: number): void {
    this.#nowMs += byMs;
  }
}

export const queueSettings = (clock: Pick<Clock, 'now'>, given: Partial<QueueSettings> = {}): QueueSettings => ({
  leaseMs: 30_000,
  maxAttempts: 3,
  weights: new Map(),
  maxRunningPerWorkspace: 1000,
  warmWaitMs: 0,
  now: clock.now,
  ...given,
});
