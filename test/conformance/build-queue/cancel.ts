import { describe, expect } from 'vitest';
import type { BuildRecord } from '../../../src/queue/index.ts';
import { submission, worker } from '../../support/queue/submissions.ts';
import { aborted, failure, log, options, type QueueStage, watched } from './stage.ts';

/** What canceling does to a build and to the job that others share. */
export function describeCancel({ open, taken, state, fresh, clock }: QueueStage): void {
  describe('cancel', () => {
    fresh('takes a queued build out of the queue, and its events end with that', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      const canceled = await queue.cancel('a', record.buildId, 'changed my mind', options);
      expect(canceled).toMatchObject({ state: 'canceled', endedAtMs: clock.now() });
      expect(await queue.take(worker('w'), options)).toBeUndefined();
      const events = await watched(queue, record);
      expect(events.at(-1)).toMatchObject({ phase: 'canceled', kind: 'state', what: { reason: 'changed my mind' } });
      expect(events.map(({ cursor }) => cursor)).toEqual([1, 2]);
      expect(await queue.cancel('a', record.buildId, 'again', options)).toEqual(canceled);
    });

    fresh(
      'aborts the lease of a running build from another queue, and a new equal build has a job of its own',
      async () => {
        const [mine, other] = [await open(), await open()];
        const { record } = await mine.submit(submission('a', { key: 'same' }), options);
        const lease = await taken(mine);
        expect(await other.cancel('a', record.buildId, 'stop', options)).toMatchObject({ state: 'canceled' });
        expect(await aborted(lease)).toMatchObject({ code: 'BUILD_CANCELED' });
        expect((await other.submit(submission('a', { key: 'same' }), options)).how).toBe('queued');
        await lease.tell([log('cleaning up')]);
        await lease.endCanceled();
        expect(await state(other, record)).toBe('canceled');
        expect((await watched(other, record)).at(-1)).toMatchObject({ phase: 'canceled' });
        expect((await mine.depth(options)).running).toBe(0);
        await expect(lease.tell([log('more')])).rejects.toMatchObject({ code: 'LEASE_LOST' });
      },
    );

    fresh('by one of three goes on for the others, until all have canceled', async () => {
      const queue = await open();
      const builds: BuildRecord[] = [];
      for (let at = 0; at < 3; at += 1)
        builds.push((await queue.submit(submission('a', { key: 'same' }), options)).record);
      const [one, two, three] = builds as [BuildRecord, BuildRecord, BuildRecord];
      const lease = await taken(queue);
      await lease.tell([log('before')]);
      const watching = watched(queue, one);
      await queue.cancel('a', one.buildId, 'enough', options);
      await lease.tell([log('after')]);
      const events = await watching;
      expect(events.map(({ cursor }) => cursor)).toEqual([1, 2, 3]);
      expect(events.at(-1)).toMatchObject({ phase: 'canceled', what: { reason: 'enough' } });
      expect(await watched(queue, one, 2)).toEqual(events.slice(2));
      expect(await queue.get('a', two.buildId, options)).toMatchObject({ state: 'preparing', sharedBy: 2 });
      expect(lease.signal.aborted).toBe(false);
      await queue.cancel('a', two.buildId, 'enough', options);
      expect(lease.signal.aborted).toBe(false);
      await queue.cancel('a', three.buildId, 'enough', options);
      expect(await aborted(lease)).toMatchObject({ code: 'BUILD_CANCELED' });
      await lease.endCanceled();
      for (const build of builds) expect(await state(queue, build)).toBe('canceled');
    });

    fresh('leaves a build that has ended as it is', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      await (await taken(queue)).end({ state: 'failed', failure });
      const ended = await queue.get('a', record.buildId, options);
      expect(ended).toMatchObject({ state: 'failed', failure });
      expect(await queue.cancel('a', record.buildId, 'late', options)).toEqual(ended);
    });

    fresh('of a job whose worker fell silent ends it instead of giving it to the next', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      await taken(queue);
      await queue.cancel('a', record.buildId, 'stop', options);
      clock.advance(31_000);
      expect(await queue.take(worker('other'), options)).toBeUndefined();
      expect(await queue.depth(options)).toMatchObject({ running: 0, queued: 0, dead: 0 });
    });
  });
}
