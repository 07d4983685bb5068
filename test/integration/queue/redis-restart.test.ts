import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openQueue, type StoredEvent } from '../../../src/queue/index.ts';
import { queueSettings, submission, worker } from '../../support/queue/submissions.ts';
import { startRedis } from '../../support/redis-server.ts';

const { signal } = new AbortController();
const settings = queueSettings({ now: Date.now });

test('a Redis that is killed and comes back costs no event, no build and no lease', async () => {
  await using redis = await startRedis();
  await using queue = await openQueue(redis.url, settings);
  const { record } = await queue.submit(submission('a'), { signal });
  await using lease = await queue.take(worker('w'), { signal });
  const seen: StoredEvent[] = [];
  const watching = (async () => {
    const timeout = AbortSignal.timeout(60_000);
    for await (const event of queue.watch('a', record.buildId, { after: 0, signal: timeout })) seen.push(event);
  })();
  const told: Promise<void>[] = [];
  for (let line = 0; line < 300; line += 1) {
    const event = { timeMs: Date.now(), phase: 'building', bytes: 0, kind: 'log', what: { line } } as const;
    told.push(lease?.tell([event]) ?? Promise.reject(new Error('no lease')));
    if (line % 20 === 0) await told.at(-1);
    if (line === 150) {
      const killed = redis.kill();
      const late = queue.submit(submission('a', { idempotencyKey: 'meanwhile' }), { signal });
      await killed;
      await redis.start();
      expect((await late).record.state).toBe('queued');
    }
  }
  await Promise.all(told);
  await lease?.end({ state: 'done', result: 1 });
  await watching;
  expect(seen.map(({ cursor }) => cursor)).toEqual(Array.from({ length: 302 }, (_, at) => at + 1));
  const lines = seen.flatMap(({ kind, what }) => (kind === 'log' ? [(what as { line: number }).line] : []));
  expect(lines).toEqual(lines.map((_, at) => at));
  expect((await queue.list('a', { limit: 10 }, { signal })).records).toHaveLength(2);
});

test('a Redis that does not answer, or that evicts keys, is no queue', async () => {
  await using redis = await startRedis(['--maxmemory-policy', 'allkeys-lru']);
  await expect(openQueue(redis.url, settings)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await redis.kill();
  await expect(openQueue(redis.url, settings)).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
});

test('a queue can be closed, and a call given up, while Redis is away', async () => {
  await using redis = await startRedis();
  await using queue = await openQueue(redis.url, settings);
  await redis.kill();
  const reason = new Error('enough');
  const stop = new AbortController();
  const waiting = queue.depth({ signal: stop.signal });
  stop.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  const left = queue.depth({ signal });
  await Promise.all([expect(left).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' }), queue[Symbol.asyncDispose]()]);
});

test('a process ends when it has closed its queue, also when Redis was away then and came back', async () => {
  await using redis = await startRedis();
  const program = `
    import { openQueue } from ${JSON.stringify(join(import.meta.dirname, '../../../src/queue/index.ts'))};
    const settings = { leaseMs: 3000, maxAttempts: 3, weights: new Map(), maxRunningPerWorkspace: 9, warmWaitMs: 0, now: Date.now };
    const queue = await openQueue(${JSON.stringify(redis.url)}, settings);
    console.log('open');
    process.stdin.once('data', async () => {
      await queue[Symbol.asyncDispose]();
      console.log('closed');
      process.stdin.destroy();
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  const errors = text(child.stderr);
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('open');
    await redis.kill();
    // By now everything tries to connect again.
    await sleep(700);
    child.stdin.write('close\n');
    expect((await lines.next()).value).toBe('closed');
    await redis.start();
    expect(await ended).toEqual([0, null]);
    expect(await errors).not.toMatch(/Unhandled/);
  } finally {
    child.kill('SIGKILL');
  }
});

test('an address without credentials names the queue, and a wrong one is refused', async () => {
  await using redis = await startRedis();
  const { host } = new URL(redis.url);
  await using queue = await openQueue(`redis://someone:secret@${host}/1?prefix=x`, settings).catch(() => undefined);
  expect(queue).toBeUndefined();
  await using other = await openQueue(`${redis.url}/1?prefix=x`, settings);
  expect(other.name).toBe(`redis://${host}/1`);
  for (const address of [`${redis.url}?prefix={x}`, 'redis://', 'redis:nowhere'])
    await expect(openQueue(address, settings)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});
