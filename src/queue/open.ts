import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import type { BuildQueue, QueueSettings } from './build-queue.ts';
import { openSqliteQueue } from './sqlite/index.ts';

/**
 * The queue at `sqlite:FILE` or `redis://host[:port][/db]` (`rediss://` with TLS). Throws CONFIG_INVALID on any other address,
 * QUEUE_UNAVAILABLE when it does not answer, QUEUE_CORRUPT when it holds something else.
 */
export function openQueue(address: string, settings: QueueSettings): Promise<BuildQueue> {
  const [scheme = '', file = ''] = /^([a-z]+):(.*)$/s.exec(address)?.slice(1) ?? [];
  return new Promise((resolve) => {
    if (scheme !== 'sqlite' || file === '')
      throw new WorkerError('CONFIG_INVALID', 'a queue is sqlite:FILE or redis://host[:port]', { scheme });
    mkdirSync(dirname(file), { recursive: true });
    resolve(openSqliteQueue(file, settings));
  });
}
