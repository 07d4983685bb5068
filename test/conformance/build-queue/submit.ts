import { describe, expect } from 'vitest';
import { submission } from '../../support/queue/submissions.ts';
import { options, type QueueStage, watched } from './stage.ts';

/** What a submission makes, gives again or shares. */
export function describeSubmit({ open, taken, state, fresh, clock }: QueueStage): void {
  describe('submit', () => {
    fresh('queues a build and shows it to its workspace only', async () => {
      const queue = await open();
      const { record, how } = await queue.submit(submission('a', { imageId: 'app', priority: 7 }), options);
      expect(how).toBe('queued');
      expect(record).toMatchObject({ workspaceId: 'a', imageId: 'app', state: 'queued', priority: 7, sharedBy: 1 });
      expect(record).toMatchObject({ submittedAtMs: clock.now(), attempt: 0, startedAtMs: undefined });
      expect(await queue.get('a', record.buildId, options)).toEqual(record);
      expect(await queue.get('b', record.buildId, options)).toBeUndefined();
      expect(await queue.position('b', record.buildId, options)).toBeUndefined();
      expect(await queue.cancel('b', record.buildId, 'mine now', options)).toBeUndefined();
      await expect(watched(queue, { ...record, workspaceId: 'b' })).rejects.toMatchObject({
        code: 'BUILD_NOT_FOUND',
      });
      expect(await state(queue, record)).toBe('queued');
    });

    fresh('gives the first build again for an idempotency key of the workspace, even when it has ended', async () => {
      const queue = await open();
      const first = await queue.submit(submission('a', { idempotencyKey: 'once' }), options);
      const again = await queue.submit(submission('a', { idempotencyKey: 'once' }), options);
      expect(again).toEqual({ record: first.record, how: 'repeated' });
      expect(await queue.submittedWith('a', 'once', options)).toEqual(first.record);
      expect(await queue.submittedWith('b', 'once', options)).toBeUndefined();
      expect((await queue.submit(submission('b', { idempotencyKey: 'once' }), options)).how).toBe('queued');
      await (await taken(queue)).end({ state: 'done', result: 1 });
      const late = await queue.submit(submission('a', { idempotencyKey: 'once' }), options);
      expect(late).toMatchObject({ how: 'repeated', record: { buildId: first.record.buildId, state: 'done' } });
    });

    fresh('shares the job of an equal build in flight, never across workspaces, never after its end', async () => {
      const queue = await open();
      const first = await queue.submit(submission('a', { key: 'same', priority: 2 }), options);
      const second = await queue.submit(submission('a', { key: 'same', imageId: 'other', priority: 8 }), options);
      expect(second).toMatchObject({ how: 'shared', record: { jobId: first.record.jobId, sharedBy: 2 } });
      expect(second.record.buildId).not.toBe(first.record.buildId);
      const foreign = await queue.submit(submission('b', { key: 'same' }), options);
      expect(foreign.how).toBe('queued');
      expect(foreign.record.jobId).not.toBe(first.record.jobId);
      const lease = await taken(queue);
      expect(lease.job).toMatchObject({ jobId: first.record.jobId, priority: 8 });
      expect((await queue.submit(submission('a', { key: 'same' }), options)).how).toBe('shared');
      await lease.end({ state: 'done', result: { digest: 'sha256:1' } });
      for (const { record } of [first, second])
        expect(await queue.get('a', record.buildId, options)).toMatchObject({
          state: 'done',
          result: { digest: 'sha256:1' },
        });
      expect((await queue.submit(submission('a', { key: 'same' }), options)).how).toBe('queued');
    });

    fresh('makes one job and one build a key of equal submissions that come at once to several queues', async () => {
      const queues = [await open(), await open(), await open()];
      const racing = Array.from({ length: 12 }, (_, at) =>
        queues[at % 3]!.submit(submission('a', { key: 'same', idempotencyKey: `i${at % 4}` }), options),
      );
      const results = await Promise.all(racing);
      expect(new Set(results.map(({ record }) => record.jobId)).size).toBe(1);
      expect(new Set(results.map(({ record }) => record.buildId)).size).toBe(4);
      expect(results.filter(({ how }) => how === 'queued')).toHaveLength(1);
      expect(results.filter(({ how }) => how === 'shared')).toHaveLength(3);
      expect((await queues[0]!.depth(options)).queued).toBe(1);
    });
  });
}
