import { describe, expect } from 'vitest';
import { queueSettings, submission, worker } from '../../support/queue/submissions.ts';
import { options, type QueueStage, watched } from './stage.ts';

/** What operators see and do. */
export function describeUpkeep({ open, taken, drained, state, fresh, clock, where }: QueueStage): void {
  describe('for those who look after it', () => {
    fresh('says how deep it is', async () => {
      const queue = await open();
      expect(await queue.depth(options)).toEqual({
        ...{ queued: 0, delayed: 0, running: 0, dead: 0, oldestAgeMs: 0, queuedByWorkspace: new Map() },
      });
      await queue.submit(submission('a'), options);
      clock.advance(100);
      await queue.submit(submission('b'), options);
      await queue.submit(submission('b'), options);
      expect(await queue.depth(options)).toEqual({
        ...{ queued: 3, delayed: 0, running: 0, dead: 0, oldestAgeMs: 100 },
        queuedByWorkspace: new Map([
          ['a', 1],
          ['b', 2],
        ]),
      });
      await taken(queue);
      expect(await queue.depth(options)).toMatchObject({ queued: 2, running: 1, oldestAgeMs: 0 });
    });

    fresh('says what the jobs that have not ended are to build', async () => {
      const queue = await open();
      const open_ = async () => {
        const specs: unknown[] = [];
        for await (const spec of queue.openSpecs(options)) specs.push(spec);
        return specs.map((spec) => (spec as { readonly name: string }).name).toSorted();
      };
      expect(await open_()).toEqual([]);
      const named = (name: string) => submission('a', { spec: { name } });
      for (let at = 0; at < 60; at += 1) await queue.submit(submission('b', { spec: { name: 'b' } }), options);
      expect(await open_()).toHaveLength(60);
      await drained(queue);
      expect(await open_()).toEqual([]);
      await queue.submit(named('retried'), options);
      const retried = await taken(queue);
      expect(await open_()).toEqual(['retried']);
      await retried.retry({ code: 'X', message: '', phase: 'building', retryable: true, details: {} }, 60_000);
      await queue
        .submit(named('canceled while it waits'), options)
        .then(({ record }) => queue.cancel('a', record.buildId, '', options));
      const { record } = await queue.submit(named('canceled while it runs'), options);
      const running = await taken(queue);
      await queue.cancel('a', record.buildId, '', options);
      // Its worker still reads what it needs.
      expect(await open_()).toEqual(['canceled while it runs', 'retried']);
      await running.endCanceled();
      expect(await open_()).toEqual(['retried']);
    });

    fresh('knows the workers that were heard of', async () => {
      const [queue, other] = [await open(), await open()];
      await queue.advertise(worker('one', { baseLayers: ['sha256:1'] }), options);
      clock.advance(40_000);
      await other.advertise(worker('two', { draining: true, reason: 'drains' }), options);
      expect((await queue.workers(options)).map(({ workerId }) => workerId)).toEqual(['one', 'two']);
      clock.advance(40_000);
      expect(await queue.workers(options)).toEqual([
        worker('two', { draining: true, reason: 'drains', seenAtMs: clock.now() - 40_000 }),
      ]);
    });

    fresh('forgets builds that ended long ago, and nothing else', async () => {
      const queue = await open();
      const old = (await queue.submit(submission('a', { idempotencyKey: 'old' }), options)).record;
      const lease = await taken(queue);
      await lease.checkpoint('built', 1);
      await lease.end({ state: 'done', result: null });
      clock.advance(1000);
      const recent = (await queue.submit(submission('a'), options)).record;
      await drained(queue);
      const waiting = (await queue.submit(submission('a'), options)).record;
      expect(await queue.forget(clock.now(), options)).toBe(1);
      expect(await queue.get('a', old.buildId, options)).toBeUndefined();
      await expect(watched(queue, old)).rejects.toMatchObject({ code: 'BUILD_NOT_FOUND' });
      expect(await state(queue, recent)).toBe('done');
      expect(await state(queue, waiting)).toBe('queued');
      expect((await queue.list('a', { limit: 9 }, options)).records).toHaveLength(2);
      expect((await queue.submit(submission('a', { idempotencyKey: 'old' }), options)).how).toBe('queued');
    });

    fresh('keeps everything when it is closed and opened', async () => {
      const first = await where().open(queueSettings(clock));
      const { record } = await first.submit(submission('a', { idempotencyKey: 'once' }), options);
      await first[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
      await expect(first.depth(options)).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
      const queue = await open();
      expect(await queue.get('a', record.buildId, options)).toEqual(record);
      await taken(queue);
    });
  });
}
