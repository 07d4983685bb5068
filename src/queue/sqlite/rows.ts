import { messageOf, WorkerError } from '../../errors/index.ts';
import type { BuildRecord, Job, JournalEntry, Json, StoredEvent, StoredFailure } from '../records.ts';
import type { BuildState } from '../states.ts';

export interface JobRow {
  readonly seq: number;
  readonly job_id: string;
  readonly workspace_id: string;
  readonly image_id: string;
  readonly key: string;
  readonly spec: string;
  readonly priority: number;
  readonly platforms: string;
  readonly base_layers: string;
  readonly deadline_ms: number | null;
  readonly status: 'queued' | 'running' | 'ended';
  readonly state: BuildState;
  readonly attempt: number;
  readonly submitted_at: number;
  readonly available_at: number;
  readonly last_cursor: number;
  readonly worker_id: string | null;
  readonly canceled: number;
}

/** Columns of RECORD. */
export interface RecordRow {
  readonly seq: number;
  readonly build_id: string;
  readonly job_id: string;
  readonly workspace_id: string;
  readonly image_id: string;
  readonly state: BuildState;
  readonly status: 'queued' | 'running' | 'ended';
  readonly priority: number;
  readonly submitted_at: number;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly canceled_at: number | null;
  readonly attempt: number;
  readonly available_at: number;
  readonly result: string | null;
  readonly failure: string | null;
  readonly worker_id: string | null;
  readonly shared_by: number;
}

/** What a build shows: the outcome of its job, unless it was canceled. */
export const STATE = `iif(b.canceled_at IS NULL, j.state, 'canceled')`;

export const RECORD = `SELECT b.seq, b.build_id, j.job_id, b.workspace_id, b.image_id, ${STATE} AS state, j.status,
  b.priority, b.submitted_at, j.started_at, j.ended_at, b.canceled_at, j.attempt, j.available_at, j.result, j.failure,
  j.worker_id, (SELECT count(*) FROM builds s WHERE s.job = j.seq AND s.canceled_at IS NULL) AS shared_by
  FROM builds b JOIN jobs j ON j.seq = b.job`;

export function parseStored(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WorkerError('QUEUE_CORRUPT', `${where} is no JSON: ${messageOf(error)}`, {}, { cause: error });
  }
}

const optional = <T>(value: T | null): T | undefined => value ?? undefined;

export function recordOf(row: RecordRow, nowMs: number): BuildRecord {
  const canceled = row.canceled_at !== null;
  const parsed = (text: string | null, what: string): unknown =>
    text === null || canceled ? undefined : parseStored(text, `${what} of job ${row.job_id}`);
  return {
    buildId: row.build_id,
    jobId: row.job_id,
    workspaceId: row.workspace_id,
    imageId: row.image_id,
    state: row.state,
    priority: row.priority,
    submittedAtMs: row.submitted_at,
    startedAtMs: optional(row.started_at),
    endedAtMs: optional(row.canceled_at ?? row.ended_at),
    attempt: row.attempt,
    notBeforeMs: row.status === 'queued' && row.available_at > nowMs ? row.available_at : undefined,
    result: parsed(row.result, 'result') as Json | undefined,
    failure: parsed(row.failure, 'failure') as StoredFailure | undefined,
    workerId: optional(row.worker_id),
    sharedBy: canceled ? 1 : row.shared_by,
  };
}

export interface JournalRow {
  readonly step: string;
  readonly attempt: number;
  readonly time_ms: number;
  readonly data: string;
}

export function jobOf(row: JobRow, journal: readonly JournalRow[]): Job {
  const where = `job ${row.job_id}`;
  return {
    jobId: row.job_id,
    workspaceId: row.workspace_id,
    imageId: row.image_id,
    spec: parseStored(row.spec, where) as Json,
    key: row.key,
    priority: row.priority,
    platforms: parseStored(row.platforms, where) as string[],
    attempt: row.attempt,
    deadlineMs: optional(row.deadline_ms),
    journal: journal.map(
      ({ step, attempt, time_ms, data }): JournalEntry => ({
        step,
        attempt,
        timeMs: time_ms,
        data: parseStored(data, `journal of ${where}`) as Json,
      }),
    ),
  };
}

export interface EventRow {
  readonly cursor: number;
  readonly attempt: number;
  readonly time_ms: number;
  readonly phase: BuildState;
  readonly bytes: number;
  readonly kind: StoredEvent['kind'];
  readonly what: string;
}

export const eventOf = (row: EventRow): StoredEvent => ({
  cursor: row.cursor,
  attempt: row.attempt,
  timeMs: row.time_ms,
  phase: row.phase,
  bytes: row.bytes,
  kind: row.kind,
  what: parseStored(row.what, 'an event') as Json,
});
