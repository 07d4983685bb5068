import { test } from 'vitest';
import { type BuildQueue, openQueue } from '../../../src/queue/index.ts';
import { playAgainstModel } from '../../support/queue/model.ts';
import { redisPlace } from '../../support/queue/redis-place.ts';

test('any order of submit, cancel, take, end, retry, hand back and loss leaves what a simple model has', async () => {
  await using stack = new AsyncDisposableStack();
  const open = async (settings: Parameters<typeof openQueue>[1]): Promise<BuildQueue> =>
    await openQueue(stack.use(redisPlace()).address, settings);
  await playAgainstModel(open, { runs: 15 });
});
