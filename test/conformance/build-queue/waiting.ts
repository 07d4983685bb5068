import { describe, expect } from 'vitest';
import { submission } from '../../support/queue/submissions.ts';
import { options, type QueueStage } from './stage.ts';

/** How long a worker waits for work. */
export function describeWaiting({ open, taken, fresh }: QueueStage): void {
  describe('waiting for work', () => {
    fresh('ends when a build comes, from this queue or another', async () => {
      const [queue, other] = [await open(), await open()];
      for (const from of [queue, other]) {
        const waiting = queue.waitForWork(30_000, options);
        await from.submit(submission('a'), options);
        await waiting;
        await taken(queue);
      }
    });

    fresh('ends after the time it was given, and with the signal', async () => {
      const queue = await open();
      await queue.waitForWork(20, options);
      const reason = new Error('enough');
      const stop = new AbortController();
      const waiting = queue.waitForWork(30_000, { signal: stop.signal });
      stop.abort(reason);
      await expect(waiting).rejects.toBe(reason);
    });
  });
}
