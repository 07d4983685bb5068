import type { QueueSettings } from '../build-queue.ts';
import type { QueueDepth, WorkerStatus } from '../records.ts';
import { SILENT_LEASES } from '../warmth.ts';
import type { Database } from './database.ts';
import { parseStored } from './rows.ts';

export function saveWorker(db: Database, worker: WorkerStatus, seenAtMs: number): void {
  db.run(
    `INSERT INTO workers VALUES (?, ?, ?)
     ON CONFLICT (worker_id) DO UPDATE SET seen_at = excluded.seen_at, status = excluded.status`,
    ...[worker.workerId, seenAtMs, JSON.stringify({ ...worker, seenAtMs })],
  );
}

/** `reason` is absent in JSON when it is undefined. */
export const knownWorkers = (db: Database): readonly WorkerStatus[] =>
  (db.all('SELECT status FROM workers ORDER BY worker_id') as { status: string }[]).map(({ status }) => {
    const stored = parseStored(status, 'a worker') as WorkerStatus;
    return { ...stored, reason: stored.reason };
  });

export function dropSilentWorkers(db: Database, { now, leaseMs }: QueueSettings): void {
  db.run('DELETE FROM workers WHERE seen_at <= ?', now() - leaseMs * SILENT_LEASES);
}

interface DepthRow {
  readonly queued: number;
  readonly delayed: number;
  readonly running: number;
  readonly dead: number;
  readonly oldest: number | null;
}

export function depth(db: Database, { now }: QueueSettings): QueueDepth {
  const nowMs = now();
  const row = db.get(
    `SELECT (SELECT count(*) FROM jobs WHERE status = 'queued' AND available_at <= ?1) AS queued,
       (SELECT count(*) FROM jobs WHERE status = 'queued' AND available_at > ?1) AS delayed,
       (SELECT count(*) FROM jobs WHERE status = 'running') AS running,
       (SELECT count(*) FROM jobs WHERE dead = 1) AS dead,
       (SELECT min(available_at) FROM jobs WHERE status = 'queued') AS oldest`,
    nowMs,
  ) as DepthRow;
  const lines = db.all(`SELECT workspace_id, count(*) AS queued FROM jobs WHERE status = 'queued' GROUP BY 1`) as {
    workspace_id: string;
    queued: number;
  }[];
  return {
    queued: row.queued,
    delayed: row.delayed,
    running: row.running,
    dead: row.dead,
    oldestAgeMs: row.oldest === null ? 0 : Math.max(0, nowMs - row.oldest),
    queuedByWorkspace: new Map(lines.map((it) => [it.workspace_id, it.queued] as const)),
  };
}
