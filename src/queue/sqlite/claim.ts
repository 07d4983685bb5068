import type { QueueSettings } from '../build-queue.ts';
import { type Claim, type ClaimStore, leaseLost } from '../held-lease.ts';
import { handedBackEvent, retryEvent } from '../own-events.ts';
import type { Database } from './database.ts';
import { endCanceledJob, endJob, requeue, requeueOrBury } from './ends.ts';
import { append } from './events.ts';
import type { JobRow } from './rows.ts';
import type { Taken } from './take.ts';

/** What a claim needs of its queue: a connection, and somebody to tell what changed. */
export interface ClaimSurroundings {
  readonly db: Database;
  readonly settings: QueueSettings;
  /** Runs in a transaction, then wakes watchers and, where `freed`, who waits for work. */
  readonly change: <T>(work: () => T, freed: boolean) => Promise<T>;
  readonly look: <T>(work: () => T) => Promise<T>;
}

export function claimStore({ db, settings, change, look }: ClaimSurroundings, { seq, token, job }: Taken): ClaimStore {
  const { now, leaseMs } = settings;
  const find = () => db.get('SELECT * FROM jobs WHERE seq = ? AND lease_token = ?', seq, token) as JobRow | undefined;
  const held = (): JobRow => {
    const row = find();
    if (row === undefined) throw leaseLost(job.jobId);
    return row;
  };
  const claimOf = (row: JobRow | undefined): Claim =>
    row === undefined ? 'lost' : row.canceled === 1 ? 'canceled' : 'held';
  return {
    look: () => look(() => claimOf(find())),
    renew: () =>
      look(() => {
        const renewed = db.run(
          'UPDATE jobs SET lease_until = ? WHERE seq = ? AND lease_token = ?',
          ...[now() + leaseMs, seq, token],
        );
        return renewed === 0 ? 'lost' : claimOf(find());
      }),
    tell: (events) =>
      change(() => {
        append(db, seq, held().attempt, events);
      }, false),
    checkpoint: (step, data) =>
      change(() => {
        db.run(
          'INSERT INTO journal (job, step, attempt, time_ms, data) VALUES (?, ?, ?, ?, ?)',
          ...[seq, step, held().attempt, now(), JSON.stringify(data)],
        );
      }, false),
    end: (outcome) =>
      change(() => {
        endJob(db, held(), outcome, now());
      }, true),
    endCanceled: () =>
      change(() => {
        endCanceledJob(db, held(), now(), 'nobody wanted it any more');
      }, true),
    retry: (failure, afterMs) =>
      change(() => {
        const availableAtMs = now() + afterMs;
        const event = retryEvent(now(), failure, availableAtMs);
        requeueOrBury(db, held(), { event, availableAtMs, last: failure }, settings);
      }, true),
    handBack: () =>
      change(() => {
        const row = held();
        if (row.canceled === 1) endCanceledJob(db, row, now(), 'nobody wanted it any more');
        else
          requeue(db, row, {
            event: handedBackEvent(now()),
            availableAtMs: row.available_at,
            attempt: row.attempt - 1,
          });
      }, true),
  };
}
