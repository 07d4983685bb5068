import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { openRedisQueue } from '../../../src/queue/index.ts';
import { describeBuildQueue } from '../../conformance/build-queue.ts';
import { serviceSetting } from '../../support/services.ts';

describeBuildQueue('redis', () => {
  const url = serviceSetting('CLIPYARD_REDIS');
  const prefix = `test-${randomUUID()}`;
  return Promise.resolve({
    open: (settings) => openRedisQueue(`${url}?prefix=${prefix}`, settings),
    async [Symbol.asyncDispose]() {
      const redis = new Redis(url);
      const keys = await redis.keys(`{${prefix}}:*`);
      if (keys.length > 0) await redis.del(...keys);
      redis.disconnect();
    },
  });
});
