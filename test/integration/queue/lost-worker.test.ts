import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openQueue } from '../../../src/queue/index.ts';
import { testLostWorker } from '../../conformance/lost-worker.ts';
import { redisPlace } from '../../support/queue/redis-place.ts';
import { queueSettings, submission, worker } from '../../support/queue/submissions.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();

testLostWorker('sqlite', async () => {
  const directory = await temporaryDirectory('queue');
  return {
    address: `sqlite:${join(directory.path, 'queue.db')}`,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});

testLostWorker('redis', () => Promise.resolve(redisPlace()));

test('on Redis a job of a silent worker goes back though nobody takes anything', async () => {
  await using place = redisPlace();
  const settings = { ...queueSettings({ now: Date.now }), leaseMs: 600 };
  await using holder = await openQueue(place.address, settings);
  await using _other = await openQueue(place.address, settings);
  const { record } = await holder.submit(submission('a'), { signal });
  const lease = await holder.take(worker('silent'), { signal });
  await lease?.[Symbol.asyncDispose]();
  const timeout = AbortSignal.timeout(30_000);
  for await (const { cursor, what } of holder.watch('a', record.buildId, { after: 1, signal: timeout })) {
    expect(cursor).toBe(2);
    expect(what).toMatchObject({ why: 'worker lost', workerId: 'silent' });
    break;
  }
});
