import { describe, expect } from 'vitest';
import type { BuildRecord } from '../../../src/queue/index.ts';
import { submission, worker } from '../../support/queue/submissions.ts';
import { options, type QueueStage } from './stage.ts';

/** Who is next: priority, age and fairness between workspaces. */
export function describeTake({ open, taken, drained, fresh, clock, keep }: QueueStage): void {
  describe('take', () => {
    fresh('goes by priority within a workspace, then by age', async () => {
      const queue = await open();
      for (const [imageId, priority] of [
        ['low', 1],
        ['old', 5],
        ['new', 5],
        ['high', 9],
      ] as const)
        await queue.submit(submission('a', { imageId, priority }), options);
      expect(await drained(queue)).toEqual(['high', 'old', 'new', 'low']);
    });

    fresh('lets no workspace wait for a flood of 1000 from another', async () => {
      const queue = await open();
      for (let at = 0; at < 1000; at += 1) await queue.submit(submission('flood', { imageId: 'f' }), options);
      await drained(queue, 5);
      const { record } = await queue.submit(submission('small', { imageId: 's1' }), options);
      await queue.submit(submission('small', { imageId: 's2' }), options);
      expect(await queue.position('small', record.buildId, options)).toBeLessThanOrEqual(1);
      const next = await drained(queue, 4);
      expect(next.toSorted()).toEqual(['f', 'f', 's1', 's2']);
    });

    fresh('gives turns by weight', async () => {
      const queue = await open({ weights: new Map([['heavy', 3]]) });
      for (let at = 0; at < 60; at += 1) {
        await queue.submit(submission('heavy', { imageId: 'h' }), options);
        await queue.submit(submission('light', { imageId: 'l' }), options);
      }
      const order = await drained(queue, 40);
      for (let end = 4; end <= 40; end += 4) {
        const heavy = order.slice(0, end).filter((it) => it === 'h').length;
        expect(Math.abs(heavy - (end * 3) / 4), `after ${end}: ${order.join('')}`).toBeLessThanOrEqual(1);
      }
    });

    fresh('gives who was idle no credit for the past', async () => {
      const queue = await open();
      for (let at = 0; at < 40; at += 1) await queue.submit(submission('busy', { imageId: 'b' }), options);
      await queue.submit(submission('idle', { imageId: 'i' }), options);
      await drained(queue, 21);
      for (let at = 0; at < 10; at += 1) await queue.submit(submission('idle', { imageId: 'i' }), options);
      const order = await drained(queue, 10);
      expect(order.filter((it) => it === 'b').length).toBeGreaterThanOrEqual(4);
    });

    fresh('positions are the order in which builds go', async () => {
      const queue = await open({ weights: new Map([['b', 2]]) });
      await queue.submit(submission('b', { imageId: 'first' }), options);
      await drained(queue, 1);
      const records: BuildRecord[] = [];
      for (let at = 0; at < 30; at += 1) {
        const workspaceId = ['a', 'b', 'c'][at % 3]!;
        const it = submission(workspaceId, { imageId: `i${at}`, priority: at % 5 });
        records.push((await queue.submit(it, options)).record);
      }
      const places = new Map<number, string>();
      for (const { workspaceId, buildId, imageId } of records)
        places.set((await queue.position(workspaceId, buildId, options)) ?? -1, imageId);
      const expected = [...places].toSorted(([a], [b]) => a - b);
      expect(expected.map(([at]) => at)).toEqual(records.map((_, at) => at));
      expect(await drained(queue)).toEqual(expected.map(([, imageId]) => imageId));
      expect(await queue.position('a', records[0]!.buildId, options)).toBeUndefined();
    });

    fresh('runs so many of a workspace at once and no more', async () => {
      const [queue, other] = [await open({ maxRunningPerWorkspace: 2 }), await open({ maxRunningPerWorkspace: 2 })];
      for (let at = 0; at < 4; at += 1) await queue.submit(submission('a'), options);
      const first = await taken(queue);
      await taken(other);
      expect(await queue.take(worker('w'), options)).toBeUndefined();
      await queue.submit(submission('b', { imageId: 'other' }), options);
      expect((await taken(queue)).job.imageId).toBe('other');
      await first.end({ state: 'done', result: null });
      expect((await taken(other)).job.workspaceId).toBe('a');
      expect(await queue.take(worker('w'), options)).toBeUndefined();
    });

    fresh('gives a job to who can build its platforms', async () => {
      const queue = await open();
      await queue.submit(submission('a', { imageId: 'arm', platforms: ['linux/amd64', 'linux/arm64'] }), options);
      await queue.submit(submission('a', { imageId: 'amd' }), options);
      expect((await taken(queue)).job.imageId).toBe('amd');
      expect(await queue.take(worker('w'), options)).toBeUndefined();
      const both = worker('both', { platforms: ['linux/arm64', 'linux/amd64'] });
      const lease = await queue.take(both, options);
      expect(lease?.job).toMatchObject({ imageId: 'arm', platforms: ['linux/amd64', 'linux/arm64'] });
      if (lease !== undefined) keep(lease);
    });

    fresh('gives nothing to who drains or has a reason to take nothing', async () => {
      const queue = await open();
      await queue.submit(submission('a'), options);
      expect(await queue.take(worker('w', { draining: true }), options)).toBeUndefined();
      expect(await queue.take(worker('w', { reason: 'the disk is full' }), options)).toBeUndefined();
      await taken(queue);
    });

    fresh('leaves a job for a moment to a free worker that has its base layers', async () => {
      const queue = await open({ warmWaitMs: 1000 });
      const warm = worker('warm', { baseLayers: ['sha256:1', 'sha256:2'] });
      await queue.advertise(warm, options);
      await queue.submit(submission('a', { imageId: 'warm', baseLayers: ['sha256:1'] }), options);
      await queue.submit(submission('a', { imageId: 'cold', baseLayers: ['sha256:9'] }), options);
      expect((await taken(queue, 'cold')).job.imageId).toBe('cold');
      expect(await queue.take(worker('cold'), options)).toBeUndefined();
      clock.advance(1000);
      expect((await taken(queue, 'cold')).job.imageId).toBe('warm');
      await queue.submit(submission('a', { imageId: 'again', baseLayers: ['sha256:2'] }), options);
      expect(await queue.take(worker('cold'), options)).toBeUndefined();
      const lease = await queue.take(warm, options);
      expect(lease?.job.imageId).toBe('again');
      if (lease !== undefined) keep(lease);
    });

    fresh('leaves nothing to a warm worker that is busy, drains, cannot build it or fell silent', async () => {
      const queue = await open({ warmWaitMs: 1000 });
      const baseLayers = ['sha256:1'];
      await queue.advertise(worker('busy', { baseLayers, freeSlots: 0 }), options);
      await queue.advertise(worker('drains', { baseLayers, draining: true }), options);
      await queue.advertise(worker('full', { baseLayers, reason: 'the disk is full' }), options);
      await queue.advertise(worker('arm', { baseLayers, platforms: ['linux/arm64'] }), options);
      await queue.submit(submission('a', { baseLayers }), options);
      await taken(queue, 'cold');
      await queue.advertise(worker('silent', { baseLayers }), options);
      clock.advance(60_000);
      await queue.submit(submission('a', { baseLayers }), options);
      await taken(queue, 'cold');
    });
  });
}
