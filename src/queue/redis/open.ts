import { WorkerError } from '../../errors/index.ts';
import type { BuildQueue, QueueSettings } from '../build-queue.ts';
import { RedisQueue } from './queue.ts';
import type { StoreAddress } from './store.ts';
import { keepUp } from './upkeep.ts';

export interface RedisQueueOptions {
  /** Whether this process takes part in looking for silent workers by itself; default true. */
  readonly upkeep?: boolean;
}

/**
 * The queue on a Redis or Valkey server, for any number of machines: `redis://[user:password@]host[:port][/db][?prefix=NAME]`.
 * Throws CONFIG_INVALID when the address is none or the server evicts keys, QUEUE_UNAVAILABLE when it does not answer.
 */
export async function openRedisQueue(
  address: string,
  settings: QueueSettings,
  { upkeep = true }: RedisQueueOptions = {},
): Promise<BuildQueue> {
  const queue = await RedisQueue.open(storeAddress(address), settings);
  if (upkeep) queue.own(await keepUp(queue, settings));
  return queue;
}

function storeAddress(address: string): StoreAddress {
  const url = URL.parse(address);
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === '')
    throw new WorkerError('CONFIG_INVALID', 'a queue on Redis is redis://host[:port][/db][?prefix=NAME]');
  const prefix = url.searchParams.get('prefix') ?? 'clipyard';
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(prefix))
    throw new WorkerError('CONFIG_INVALID', 'the prefix of a queue is 1 to 64 of A-Z a-z 0-9 _ . -');
  url.search = '';
  return { url: url.href, prefix };
}
