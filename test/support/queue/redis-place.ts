import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { serviceSetting } from '../services.ts';

/** The address of a queue on the Redis of the services that nobody else uses; its keys are gone when it is disposed. */
export function redisPlace(url = serviceSetting('CLIPYARD_REDIS')): AsyncDisposable & { readonly address: string } {
  const prefix = `test-${randomUUID()}`;
  return {
    address: `${url}?prefix=${prefix}`,
    async [Symbol.asyncDispose]() {
      const redis = new Redis(url);
      const keys = await redis.keys(`{${prefix}}:*`);
      if (keys.length > 0) await redis.del(...keys);
      redis.disconnect();
    },
  };
}
