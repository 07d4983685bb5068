export { openRedisQueue } from './open.ts';
