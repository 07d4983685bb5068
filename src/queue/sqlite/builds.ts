import type { ListPage, ListQuery, QueueSettings } from '../build-queue.ts';
import { placeOf } from '../place.ts';
import type { BuildRecord, Json } from '../records.ts';
import { isEnd } from '../states.ts';
import type { Database } from './database.ts';
import { endCanceledJob } from './ends.ts';
import { type JobRow, parseStored, RECORD, type RecordRow, recordOf, STATE } from './rows.ts';

/** Looked at together: one may hold an inline Dockerfile of megabytes. */
const SPECS = 50;

export function getBuild(db: Database, workspaceId: string, buildId: string, nowMs: number): BuildRecord | undefined {
  const row = db.get(`${RECORD} WHERE b.workspace_id = ? AND b.build_id = ?`, workspaceId, buildId);
  return row === undefined ? undefined : recordOf(row as RecordRow, nowMs);
}

export function getSubmittedWith(
  db: Database,
  workspaceId: string,
  idempotencyKey: string,
  nowMs: number,
): BuildRecord | undefined {
  const row = db.get(`${RECORD} WHERE b.workspace_id = ? AND b.idempotency_key = ?`, workspaceId, idempotencyKey);
  return row === undefined ? undefined : recordOf(row as RecordRow, nowMs);
}

/** Of the jobs that have not ended, the next some behind `seq`. */
export function openSpecs(db: Database, seq: number): readonly { readonly seq: number; readonly spec: Json }[] {
  // Each half has an index that ended jobs are not in.
  const rows = db.all(
    `SELECT seq, job_id, spec FROM jobs WHERE seq > ?1 AND seq IN (
       SELECT seq FROM jobs WHERE status = 'queued' UNION ALL SELECT seq FROM jobs WHERE status = 'running')
     ORDER BY seq LIMIT ?2`,
    ...[seq, SPECS],
  ) as Pick<JobRow, 'seq' | 'job_id' | 'spec'>[];
  return rows.map((row) => ({ seq: row.seq, spec: parseStored(row.spec, `job ${row.job_id}`) as Json }));
}

/** A page's token is the place of the last build of the page before. */
export function listBuilds(db: Database, workspaceId: string, query: ListQuery, nowMs: number): ListPage {
  const rows = db.all(
    `${RECORD} WHERE b.workspace_id = ?1 AND b.seq < ?2 AND (?3 IS NULL OR b.image_id = ?3)
       AND (?4 IS NULL OR ${STATE} IN (SELECT value FROM json_each(?4))) ORDER BY b.seq DESC LIMIT ?5`,
    ...[workspaceId, placeOf(query.page), query.imageId ?? null],
    ...[query.states === undefined ? null : JSON.stringify(query.states), query.limit + 1],
  ) as RecordRow[];
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return {
    records: page.map((row) => recordOf(row, nowMs)),
    next: rows.length > query.limit && last !== undefined ? String(last.seq) : undefined,
  };
}

/** The build ends; its job too, when nobody else wants it. Within a transaction. */
export function cancelBuild(
  db: Database,
  workspaceId: string,
  buildId: string,
  reason: string,
  { now }: QueueSettings,
): BuildRecord | undefined {
  const before = getBuild(db, workspaceId, buildId, now());
  if (before === undefined || isEnd(before.state)) return before;
  const job = db.get('SELECT * FROM jobs WHERE job_id = ?', before.jobId) as JobRow;
  db.run(
    'UPDATE builds SET canceled_at = ?, end_cursor = ?, cancel_reason = ? WHERE build_id = ?',
    ...[now(), job.last_cursor + 1, reason, buildId],
  );
  if (before.sharedBy === 1) {
    if (job.status === 'running') db.run('UPDATE jobs SET canceled = 1 WHERE seq = ?', job.seq);
    else endCanceledJob(db, job, now(), reason);
  }
  return getBuild(db, workspaceId, buildId, now());
}
