export { openSqliteQueue } from './queue.ts';
