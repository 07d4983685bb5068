import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { submission, worker } from '../../support/queue/submissions.ts';
import { aborted, failure, log, options, phase, type QueueStage, watched } from './stage.ts';

/** How a job is held, lost, retried and given up. */
export function describeLease({ open, taken, drained, state, fresh, clock }: QueueStage): void {
  describe('a lease', () => {
    fresh('has the job as it was submitted', async () => {
      const queue = await open();
      const given = submission('a', { spec: { deep: [1, { text: 'ä' }, null] }, deadlineMs: clock.now() + 5 });
      const { record } = await queue.submit(given, options);
      const { job } = await taken(queue, 'me');
      const { workspaceId, imageId, spec, key, priority, platforms, deadlineMs } = given;
      expect(job).toEqual({
        ...{ jobId: record.jobId, workspaceId, imageId, spec, key, priority, platforms, deadlineMs },
        ...{ attempt: 1, journal: [] },
      });
      expect(await queue.get('a', record.buildId, options)).toMatchObject({
        ...{ state: 'preparing', attempt: 1, startedAtMs: clock.now(), workerId: 'me' },
      });
    });

    fresh('tells states, of which the last is the state of the build', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      const lease = await taken(queue);
      await lease.tell([phase('preparing'), log('x'), phase('building'), log('y')]);
      expect(await state(queue, record)).toBe('building');
      await lease.tell([log('z')]);
      expect(await state(queue, record)).toBe('building');
      await lease.end({ state: 'done', result: null });
      const events = await watched(queue, record);
      expect(events.map(({ cursor }) => cursor)).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(events.slice(1, 6)).toEqual(
        [phase('preparing'), log('x'), phase('building'), log('y'), log('z')].map((event, at) => ({
          ...event,
          ...{ cursor: at + 2, attempt: 1 },
        })),
      );
      expect(events.at(-1)).toMatchObject({ phase: 'done', kind: 'state' });
    });

    fresh('is renewed by itself for as long as it is held', async () => {
      const [queue, other] = [await open({ leaseMs: 90 }), await open({ leaseMs: 90 })];
      await queue.submit(submission('a'), options);
      const lease = await taken(queue);
      for (let at = 0; at < 4; at += 1) {
        await sleep(400);
        clock.advance(60);
        expect(await other.reap(options)).toEqual({ requeued: 0, dead: 0 });
      }
      await lease[Symbol.asyncDispose]();
      clock.advance(91);
      expect(await other.reap(options)).toEqual({ requeued: 1, dead: 0 });
    });

    fresh('that ran out is lost to the next worker, which has the journal, and tells nothing any more', async () => {
      const [paused, other] = [await open(), await open()];
      const { record } = await paused.submit(submission('a'), options);
      const lease = await taken(paused, 'paused');
      await lease.tell([log('kept')]);
      await lease.checkpoint('built', { digest: 'sha256:1' });
      await lease.checkpoint('landed', ['x']);
      clock.advance(30_001);
      const next = await taken(other, 'other');
      expect(next.job).toMatchObject({ jobId: record.jobId, attempt: 2 });
      expect(next.job.journal).toMatchObject([
        { step: 'built', attempt: 1, data: { digest: 'sha256:1' } },
        { step: 'landed', attempt: 1, data: ['x'] },
      ]);
      const lost = { code: 'LEASE_LOST' };
      await expect(lease.tell([log('too late')])).rejects.toMatchObject(lost);
      await expect(lease.checkpoint('late', 1)).rejects.toMatchObject(lost);
      await expect(lease.end({ state: 'done', result: null })).rejects.toMatchObject(lost);
      await expect(lease.endCanceled()).rejects.toMatchObject(lost);
      await expect(lease.retry(failure, 1)).rejects.toMatchObject(lost);
      await expect(lease.handBack()).rejects.toMatchObject(lost);
      expect(await aborted(lease)).toMatchObject(lost);
      await next.tell([log('mine')]);
      await next.end({ state: 'done', result: 2 });
      const events = await watched(paused, record);
      expect(events.map(({ kind, attempt }) => `${kind} ${attempt}`)).toEqual([
        ...['state 0', 'log 1', 'state 1', 'log 2', 'state 2'],
      ]);
      expect(events[2]).toMatchObject({ phase: 'queued', what: { workerId: 'paused' } });
      expect(await paused.get('a', record.buildId, options)).toMatchObject({ state: 'done', result: 2, attempt: 2 });
    });

    fresh('that is lost aborts its signal without being used', async () => {
      const [queue, other] = [await open({ leaseMs: 150 }), await open({ leaseMs: 150 })];
      await queue.submit(submission('a'), options);
      const lease = await taken(queue);
      clock.advance(151);
      await taken(other);
      expect(await aborted(lease)).toMatchObject({ code: 'LEASE_LOST' });
    });

    fresh('retried waits for its time, counts, and tells why', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a', { imageId: 'first' }), options);
      await queue.submit(submission('a', { imageId: 'second' }), options);
      const lease = await taken(queue);
      await lease.checkpoint('built', 1);
      await lease.retry(failure, 5000);
      expect(await queue.get('a', record.buildId, options)).toMatchObject({
        ...{ state: 'queued', notBeforeMs: clock.now() + 5000, attempt: 1 },
      });
      expect(await queue.depth(options)).toMatchObject({ queued: 1, delayed: 1 });
      expect(await drained(queue)).toEqual(['second']);
      clock.advance(5000);
      const again = await taken(queue);
      expect(again.job).toMatchObject({ imageId: 'first', attempt: 2, journal: [{ step: 'built' }] });
      await again.end({ state: 'done', result: null });
      const [, told] = await watched(queue, record);
      expect(told).toMatchObject({ phase: 'queued', kind: 'state', what: { failure: { code: failure.code } } });
    });

    fresh('handed back keeps its place and counts for nothing', async () => {
      const queue = await open({ maxAttempts: 1 });
      await queue.submit(submission('a', { imageId: 'first' }), options);
      await queue.submit(submission('a', { imageId: 'second' }), options);
      for (let at = 0; at < 3; at += 1) {
        const lease = await taken(queue);
        expect(lease.job).toMatchObject({ imageId: 'first', attempt: 1 });
        await lease.handBack();
      }
      expect(await drained(queue)).toEqual(['first', 'second']);
    });

    fresh('lost or retried too often leaves a dead letter with its reason', async () => {
      const queue = await open({ maxAttempts: 2 });
      const lost = (await queue.submit(submission('a'), options)).record;
      for (const expected of [
        { requeued: 1, dead: 0 },
        { requeued: 0, dead: 1 },
      ]) {
        const lease = await taken(queue);
        await lease.tell([phase('packing')]);
        clock.advance(30_001);
        expect(await queue.reap(options)).toEqual(expected);
      }
      expect(await queue.get('a', lost.buildId, options)).toMatchObject({
        state: 'failed',
        failure: { code: 'JOB_ABANDONED', phase: 'packing', retryable: false, details: { attempts: 2 } },
      });
      expect((await watched(queue, lost)).at(-1)).toMatchObject({ kind: 'failure', what: { code: 'JOB_ABANDONED' } });

      const retried = (await queue.submit(submission('a'), options)).record;
      for (let at = 0; at < 2; at += 1) await (await taken(queue)).retry(failure, 0);
      expect(await queue.get('a', retried.buildId, options)).toMatchObject({
        failure: { code: 'JOB_ABANDONED', details: { last: { code: failure.code, message: failure.message } } },
      });
      expect((await queue.depth(options)).dead).toBe(2);
      expect(await queue.take(worker('w'), options)).toBeUndefined();
    });

    fresh('is not given past the deadline of a build: it fails', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a', { deadlineMs: clock.now() + 100 }), options);
      clock.advance(101);
      expect(await queue.take(worker('w'), options)).toBeUndefined();
      expect(await queue.get('a', record.buildId, options)).toMatchObject({
        state: 'failed',
        failure: { code: 'DEADLINE_EXCEEDED' },
      });
    });
  });
}
