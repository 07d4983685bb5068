import { describe, expect } from 'vitest';
import type { StoredEvent } from '../../../src/queue/index.ts';
import { submission } from '../../support/queue/submissions.ts';
import { log, options, phase, type QueueStage, watched } from './stage.ts';

/** The events of a build, to one watcher or several. */
export function describeWatch({ open, taken, fresh }: QueueStage): void {
  describe('watch', () => {
    fresh('replays from any cursor, leaves out logs, and ends with the build', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      const lease = await taken(queue);
      await lease.tell([phase('building'), log('one'), log('two'), phase('pushing')]);
      await lease.end({ state: 'done', result: null });
      const all = await watched(queue, record);
      expect(all).toHaveLength(6);
      for (let after = 0; after <= 7; after += 1) expect(await watched(queue, record, after)).toEqual(all.slice(after));
      expect(await watched(queue, record, 0, true)).toEqual(all.filter(({ kind }) => kind !== 'log'));
    });

    fresh('misses and doubles nothing while events come, in this queue and in others', async () => {
      const [queue, other] = [await open(), await open()];
      const { record } = await queue.submit(submission('a'), options);
      const lease = await taken(queue);
      const watching = [watched(queue, record), watched(other, record)];
      const late: Promise<StoredEvent[]>[] = [];
      for (let at = 0; at < 60; at += 1) {
        const several = Array.from({ length: at % 4 }, (_, n) => log(`${at} ${n}`));
        await Promise.all([lease.tell(several), lease.tell([log(`${at} more`)])]);
        if (at % 20 === 5) late.push(watched(other, record, at));
      }
      await lease.end({ state: 'done', result: null });
      const [mine, others] = await Promise.all(watching);
      expect(mine?.map(({ cursor }) => cursor)).toEqual(mine?.map((_, at) => at + 1));
      expect(mine).toHaveLength(60 + 90 + 2);
      expect(others).toEqual(mine);
      for (const [at, tail] of (await Promise.all(late)).entries()) expect(tail).toEqual(mine?.slice(at * 20 + 5));
    });

    fresh('reads more events than fit one look', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      const lease = await taken(queue);
      await lease.tell(Array.from({ length: 1499 }, (_, at) => log(`line ${at}`)));
      await lease.end({ state: 'done', result: null });
      const events = await watched(queue, record);
      expect(events.map(({ cursor }) => cursor)).toEqual(Array.from({ length: 1501 }, (_, at) => at + 1));
      expect(await watched(queue, record, 1000)).toEqual(events.slice(1000));
    });

    fresh('stops with the reason it was given', async () => {
      const queue = await open();
      const { record } = await queue.submit(submission('a'), options);
      const stop = new AbortController();
      const reason = new Error('enough');
      const seen: number[] = [];
      const watching = (async () => {
        const watch = queue.watch('a', record.buildId, { after: 0, signal: stop.signal });
        for await (const { cursor } of watch) {
          seen.push(cursor);
          stop.abort(reason);
        }
      })();
      await expect(watching).rejects.toBe(reason);
      expect(seen).toEqual([1]);
    });
  });
}
