import type { QueueSettings } from '../build-queue.ts';
import { leaseLostEvent } from '../own-events.ts';
import { tooLate } from '../own-failures.ts';
import type { Database } from './database.ts';
import { endJob, requeueOrBury } from './ends.ts';
import type { JobRow } from './rows.ts';

/** Takes back what silent workers hold and ends what waited past its deadline; within a transaction. */
export function reap(db: Database, settings: QueueSettings): { readonly requeued: number; readonly dead: number } {
  const timeMs = settings.now();
  const counts = { requeued: 0, dead: 0, canceled: 0 };
  for (const job of db.all(
    `SELECT * FROM jobs WHERE status = 'running' AND lease_until <= ? ORDER BY seq`,
    timeMs,
  ) as JobRow[]) {
    const event = leaseLostEvent(timeMs, job.worker_id ?? '');
    counts[requeueOrBury(db, job, { event, availableAtMs: timeMs, last: undefined }, settings)] += 1;
  }
  for (const job of db.all(
    `SELECT * FROM jobs WHERE status = 'queued' AND deadline_ms IS NOT NULL AND deadline_ms <= ?`,
    timeMs,
  ) as JobRow[])
    endJob(db, job, { state: 'failed', failure: tooLate(job.deadline_ms ?? timeMs, job.state) }, timeMs);
  return { requeued: counts.requeued, dead: counts.dead };
}

/** True when reap would change something: asked before a transaction is begun. */
export function isReapDue(db: Database, { now }: QueueSettings): boolean {
  const due = db.get(
    `SELECT EXISTS (SELECT 1 FROM jobs WHERE status = 'running' AND lease_until <= ?1)
       OR EXISTS (SELECT 1 FROM jobs WHERE status = 'queued' AND deadline_ms IS NOT NULL AND deadline_ms <= ?1) AS due`,
    now(),
  ) as { due: number };
  return due.due === 1;
}

/** Removes builds that ended before, and jobs that no build is left of; within a transaction. Says how many builds. */
export function forget(db: Database, endedBeforeMs: number): number {
  const removed = db.run(
    `DELETE FROM builds WHERE canceled_at < ?1
       OR job IN (SELECT seq FROM jobs WHERE status = 'ended' AND ended_at < ?1)`,
    endedBeforeMs,
  );
  const orphans = `SELECT seq FROM jobs WHERE status = 'ended' AND NOT EXISTS (SELECT 1 FROM builds WHERE job = jobs.seq)`;
  db.run(`DELETE FROM events WHERE job IN (${orphans})`);
  db.run(`DELETE FROM journal WHERE job IN (${orphans})`);
  db.run(`DELETE FROM jobs WHERE seq IN (${orphans})`);
  db.run(
    `DELETE FROM workspaces WHERE pass <= (SELECT pass FROM virtual_time)
       AND workspace_id NOT IN (SELECT workspace_id FROM jobs WHERE status <> 'ended')`,
  );
  return removed;
}
