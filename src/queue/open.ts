import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import type { BuildQueue, QueueSettings } from './build-queue.ts';
import { openRedisQueue } from './redis/index.ts';
import { openSqliteQueue } from './sqlite/index.ts';

/**
 * The queue at `sqlite:FILE` or `redis://host[:port][/db]` (`rediss://` with TLS). Throws CONFIG_INVALID on any other address,
 * QUEUE_UNAVAILABLE when it does not answer, QUEUE_CORRUPT when it holds something else.
 */
export async function openQueue(address: string, settings: QueueSettings): Promise<BuildQueue> {
  if (/^rediss?:/.test(address)) return await openRedisQueue(address, settings);
  const file = /^sqlite:(.+)$/s.exec(address)?.[1];
  if (file === undefined) throw new WorkerError('CONFIG_INVALID', 'a queue is sqlite:FILE or redis://host[:port]');
  await mkdir(dirname(file), { recursive: true });
  return openSqliteQueue(file, settings);
}
