import { describe, expect } from 'vitest';
import type { BuildRecord } from '../../../src/queue/index.ts';
import { submission } from '../../support/queue/submissions.ts';
import { options, type QueueStage } from './stage.ts';

/** Pages of the builds of a workspace. */
export function describeList({ open, taken, fresh }: QueueStage): void {
  describe('list', () => {
    fresh('gives pages of the workspace, newest first, without gaps when builds come meanwhile', async () => {
      const queue = await open();
      const ids: string[] = [];
      for (let at = 0; at < 7; at += 1)
        ids.unshift(
          (await queue.submit(submission('a', { imageId: at % 2 ? 'odd' : 'even' }), options)).record.buildId,
        );
      await queue.submit(submission('b'), options);
      const found: string[] = [];
      let page: string | undefined;
      do {
        const { records, next } = await queue.list('a', { limit: 3, ...(page === undefined ? {} : { page }) }, options);
        found.push(...records.map(({ buildId }) => buildId));
        page = next;
        await queue.submit(submission('a', { imageId: 'new' }), options);
      } while (page !== undefined);
      expect(found).toEqual(ids);
      const odd = await queue.list('a', { imageId: 'odd', limit: 10 }, options);
      expect(odd.records.map(({ buildId }) => buildId)).toEqual(ids.filter((_, at) => at % 2 === 1));
      expect(odd.next).toBeUndefined();
      expect((await queue.list('nobody', { limit: 10 }, options)).records).toEqual([]);
    });

    fresh('filters by state, a canceled build of a shared job too', async () => {
      const queue = await open();
      const canceled = (await queue.submit(submission('a', { key: 'same' }), options)).record;
      const running = (await queue.submit(submission('a', { key: 'same' }), options)).record;
      await queue.cancel('a', canceled.buildId, 'no', options);
      await taken(queue);
      const waiting = (await queue.submit(submission('a'), options)).record;
      const of = async (...states: BuildRecord['state'][]) =>
        (await queue.list('a', { states, limit: 10 }, options)).records.map(({ buildId }) => buildId);
      expect(await of('canceled')).toEqual([canceled.buildId]);
      expect(await of('preparing', 'queued')).toEqual([waiting.buildId, running.buildId]);
      expect(await of('failed')).toEqual([]);
    });

    fresh('refuses a page that it did not give', async () => {
      const queue = await open();
      for (const page of ['x', '-1', '1e3', '']) {
        const listed = queue.list('a', { limit: 1, page }, options);
        await expect(listed).rejects.toMatchObject({ code: 'USAGE' });
      }
    });
  });
}
