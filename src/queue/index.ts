export type { BuildQueue, Lease, ListPage, ListQuery, QueueSettings, Submitted } from './build-queue.ts';
export { checkQueueAddress, openQueue } from './open.ts';
export type {
  BuildRecord,
  Job,
  JournalEntry,
  Json,
  NewEvent,
  Outcome,
  QueueDepth,
  StoredEvent,
  StoredFailure,
  Submission,
  WorkerStatus,
} from './records.ts';
export { openSqliteQueue } from './sqlite/index.ts';
export { BUILD_STATES, type BuildState, type EndState, isEnd } from './states.ts';
