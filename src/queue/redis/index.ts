export { openRedisQueue, type RedisQueueOptions } from './open.ts';
