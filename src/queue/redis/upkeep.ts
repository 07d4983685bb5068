import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { WorkerError } from '../../errors/index.ts';
import type { QueueSettings } from '../build-queue.ts';
import type { RedisQueue } from './queue.ts';

const NAME = 'upkeep';
/** A look for silent workers is over within milliseconds; later than this its worker was lost. */
const LOCK_MS = 10_000;
const CLOSE_MS = 1000;

/**
 * Takes back what silent workers hold, three times a lease, by one worker of the fleet at a time: a BullMQ schedule, so that
 * it goes on when that one is lost. Who takes jobs looks too; this is for when nobody does.
 */
export async function keepUp(queue: RedisQueue, { leaseMs }: QueueSettings): Promise<AsyncDisposable> {
  const { redis, keys, closed } = queue.store;
  const copies = copiesOf(redis);
  const options = { connection: redis, prefix: `${keys}bull` };
  const schedule = new Queue(NAME, options);
  const worker = new Worker(NAME, async () => await queue.reap({ signal: closed }), {
    ...options,
    autorun: false,
    concurrency: 1,
    lockDuration: LOCK_MS,
    // A look that was lost is not made up for: the next comes anyway. Above 0 lest a crash count as its failure.
    maxStalledCount: 3,
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 10 },
  });
  // The server may be away for a while: both connect again by themselves.
  schedule.on('error', () => undefined);
  worker.on('error', () => undefined);
  await schedule.setGlobalConcurrency(1);
  await schedule.upsertJobScheduler('reap', { every: Math.max(100, Math.round(leaseMs / 3)) }, { name: 'reap' });
  const running = worker.run().catch(() => undefined);
  return {
    async [Symbol.asyncDispose]() {
      // One that BullMQ waits for while it closes would be opened again by it, and keep the process for ever.
      for (const copy of copies) copy.connect = () => Promise.reject(new WorkerError('QUEUE_UNAVAILABLE', 'closed'));
      const closing = Promise.allSettled([worker.close(true), schedule.close(), running]);
      // A server that is away answers nobody; the queue cuts the connection after this, which ends the rest.
      await Promise.race([closing, sleep(CLOSE_MS, undefined, { ref: false })]);
      for (const copy of copies) copy.disconnect();
    },
  };
}

/** The connections that are made like this one from now on, which are BullMQ's own. */
function copiesOf(redis: Redis): readonly Redis[] {
  const copies: Redis[] = [];
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (override) => {
    const copy = duplicate(override);
    copy.on('error', () => undefined); // it connects again by itself
    copies.push(copy);
    return copy;
  };
  return copies;
}
