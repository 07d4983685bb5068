import { randomUUID } from 'node:crypto';
import type { QueueSettings } from '../build-queue.ts';
import { queuedEvent } from '../own-events.ts';
import type { Submission } from '../records.ts';
import type { Database } from './database.ts';
import { append } from './events.ts';

export interface Placed {
  readonly buildId: string;
  readonly how: 'queued' | 'shared' | 'repeated';
}

/** Puts a build into the queue, or joins it to the job that does the same; within a transaction. */
export function submit(db: Database, submission: Submission, { now }: QueueSettings): Placed {
  const { workspaceId, idempotencyKey } = submission;
  if (idempotencyKey !== undefined) {
    const before = db.get(
      'SELECT build_id FROM builds WHERE workspace_id = ? AND idempotency_key = ?',
      ...[workspaceId, idempotencyKey],
    ) as { build_id: string } | undefined;
    if (before !== undefined) return { buildId: before.build_id, how: 'repeated' };
  }
  const inFlight = db.get(
    `SELECT seq FROM jobs WHERE workspace_id = ? AND key = ? AND status <> 'ended' AND canceled = 0`,
    ...[workspaceId, submission.key],
  ) as { seq: number } | undefined;
  const timeMs = now();
  const job = inFlight?.seq ?? addJob(db, submission, timeMs);
  if (inFlight !== undefined) join(db, job, submission);
  const buildId = randomUUID();
  db.run(
    `INSERT INTO builds (build_id, job, workspace_id, image_id, idempotency_key, priority, submitted_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ...[buildId, job, workspaceId, submission.imageId, idempotencyKey ?? null, submission.priority, timeMs],
  );
  return { buildId, how: inFlight === undefined ? 'queued' : 'shared' };
}

function addJob(db: Database, submission: Submission, timeMs: number): number {
  const { workspaceId, imageId, key, spec, priority, platforms, baseLayers, deadlineMs } = submission;
  const { seq } = db.get(
    `INSERT INTO jobs (job_id, workspace_id, image_id, key, spec, priority, platforms, base_layers, deadline_ms,
       status, state, submitted_at, available_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', 'queued', ?, ?) RETURNING seq`,
    ...[randomUUID(), workspaceId, imageId, key, JSON.stringify(spec), priority],
    ...[JSON.stringify(platforms), JSON.stringify(baseLayers), deadlineMs ?? null, timeMs, timeMs],
  ) as { seq: number };
  db.run('INSERT INTO workspaces VALUES (?, 0) ON CONFLICT DO NOTHING', workspaceId);
  append(db, seq, 0, [queuedEvent(timeMs)]);
  return seq;
}

/** The most urgent of those who share a job decides when it goes, the most patient when it is too late. */
function join(db: Database, job: number, { priority, deadlineMs }: Submission): void {
  db.run(
    'UPDATE jobs SET priority = max(priority, ?), deadline_ms = max(deadline_ms, ?) WHERE seq = ?',
    ...[priority, deadlineMs ?? null, job],
  );
}
