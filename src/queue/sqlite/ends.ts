import type { QueueSettings } from '../build-queue.ts';
import { canceledEvent, endEvent } from '../own-events.ts';
import { abandoned } from '../own-failures.ts';
import type { NewEvent, Outcome, StoredFailure } from '../records.ts';
import type { BuildState } from '../states.ts';
import type { Database } from './database.ts';
import { append } from './events.ts';
import type { JobRow } from './rows.ts';

/** How a job leaves a worker or the queue; all within a transaction. */

const END = `UPDATE jobs SET status = 'ended', state = ?, ended_at = ?, lease_token = NULL, lease_until = NULL,
  result = ?, failure = ?, dead = ? WHERE seq = ?`;

export function endJob(db: Database, job: JobRow, outcome: Outcome, timeMs: number, dead = false): void {
  append(db, job.seq, job.attempt, [endEvent(timeMs, outcome)]);
  const result = outcome.state === 'done' ? JSON.stringify(outcome.result) : null;
  const failure = outcome.state === 'failed' ? JSON.stringify(outcome.failure) : null;
  db.run(END, outcome.state, timeMs, result, failure, dead ? 1 : 0, job.seq);
}

export function endCanceledJob(db: Database, job: JobRow, timeMs: number, reason: string): void {
  append(db, job.seq, job.attempt, [canceledEvent(timeMs, reason)]);
  db.run(END, 'canceled', timeMs, null, null, 0, job.seq);
}

export interface Requeue {
  readonly event: NewEvent;
  readonly availableAtMs: number;
  readonly attempt: number;
  readonly state?: BuildState;
}

/** Back to its old place, for any worker. */
export function requeue(db: Database, job: JobRow, { event, availableAtMs, attempt }: Requeue): void {
  append(db, job.seq, job.attempt, [event]);
  db.run(
    `UPDATE jobs SET status = 'queued', state = 'queued', available_at = ?, attempt = ?, lease_token = NULL,
       lease_until = NULL, worker_id = NULL WHERE seq = ?`,
    ...[availableAtMs, attempt, job.seq],
  );
}

/** Requeues a job whose attempt counts, unless that was its last one. */
export function requeueOrBury(
  db: Database,
  job: JobRow,
  back: { readonly event: NewEvent; readonly availableAtMs: number; readonly last: StoredFailure | undefined },
  { maxAttempts, now }: QueueSettings,
): 'requeued' | 'dead' | 'canceled' {
  if (job.canceled === 1) {
    endCanceledJob(db, job, now(), 'nobody wanted it any more');
    return 'canceled';
  }
  if (job.attempt >= maxAttempts) {
    endJob(db, job, { state: 'failed', failure: abandoned(job.attempt, job.state, back.last) }, now(), true);
    return 'dead';
  }
  requeue(db, job, { ...back, attempt: job.attempt });
  return 'requeued';
}
