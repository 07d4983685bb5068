import { dirname } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import type { BuildQueue, QueueSettings } from './build-queue.ts';
import type { RedisQueueOptions } from './redis/index.ts';
import { openSqliteQueue } from './sqlite/index.ts';

/**
 * The queue at `sqlite:FILE` or `redis://host[:port][/db]` (`rediss://` with TLS). Throws CONFIG_INVALID on any other address,
 * QUEUE_UNAVAILABLE when it does not answer, QUEUE_CORRUPT when it holds something else.
 */
export async function openQueue(
  address: string,
  settings: QueueSettings,
  options: RedisQueueOptions = {},
): Promise<BuildQueue> {
  if (isRedis(address)) {
    // Two clients and their scripts: not for commands that need no Redis.
    const { openRedisQueue } = await import('./redis/index.ts');
    return await openRedisQueue(address, settings, options);
  }
  const file = sqliteFile(address);
  await makeDirectory(dirname(file));
  return openSqliteQueue(file, settings);
}

/** Throws CONFIG_INVALID where `openQueue` would, and opens nothing. */
export function checkQueueAddress(address: string): void {
  if (!isRedis(address)) sqliteFile(address);
}

function isRedis(address: string): boolean {
  return /^rediss?:/.test(address);
}

function sqliteFile(address: string): string {
  const file = /^sqlite:(.+)$/s.exec(address)?.[1];
  if (file === undefined) throw new WorkerError('CONFIG_INVALID', 'a queue is sqlite:FILE or redis://host[:port]');
  return file;
}
