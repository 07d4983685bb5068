import { openRedisQueue } from '../../../src/queue/index.ts';
import { describeBuildQueue } from '../../conformance/build-queue.ts';
import { redisPlace } from '../../support/queue/redis-place.ts';

describeBuildQueue('redis', () => {
  const place = redisPlace();
  return Promise.resolve({
    open: (settings) => openRedisQueue(place.address, settings, { upkeep: false }),
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  });
});
