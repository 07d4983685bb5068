import type { EventBatch } from '../follow.ts';
import { canceledEvent } from '../own-events.ts';
import type { NewEvent, StoredEvent } from '../records.ts';
import type { BuildState } from '../states.ts';
import type { Database } from './database.ts';
import { type EventRow, eventOf } from './rows.ts';

/** Read at once by a watcher: some hundred KiB of log. */
const BATCH = 500;

/** Appends to a job's events; within a transaction. */
export function append(db: Database, job: number, attempt: number, events: readonly NewEvent[]): void {
  const { last_cursor } = db.get('SELECT last_cursor FROM jobs WHERE seq = ?', job) as { last_cursor: number };
  let cursor = last_cursor;
  let state: BuildState | undefined;
  for (const { timeMs, phase, bytes, kind, what } of events) {
    cursor += 1;
    db.run(
      'INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ...[job, cursor, attempt, timeMs, phase, bytes, kind, JSON.stringify(what)],
    );
    if (kind === 'state') state = phase;
  }
  db.run('UPDATE jobs SET last_cursor = ?, state = coalesce(?, state) WHERE seq = ?', cursor, state ?? null, job);
}

interface WatchedRow {
  readonly job: number;
  readonly status: string;
  readonly attempt: number;
  readonly last_cursor: number;
  readonly canceled_at: number | null;
  readonly end_cursor: number | null;
  readonly cancel_reason: string | null;
}

/** Events of a build behind a cursor. A canceled build has those before it was canceled, and one of its own. */
export function readEvents(db: Database, buildId: string, after: number): EventBatch {
  const build = db.get(
    `SELECT b.job, j.status, j.attempt, j.last_cursor, b.canceled_at, b.end_cursor, b.cancel_reason
     FROM builds b JOIN jobs j ON j.seq = b.job WHERE b.build_id = ?`,
    buildId,
  ) as WatchedRow | undefined;
  if (build === undefined) return { events: [], ended: true };
  const ownEnd = endOf(build);
  const last = ownEnd === undefined ? build.last_cursor : ownEnd.cursor - 1;
  const rows = db.all(
    'SELECT * FROM events WHERE job = ? AND cursor > ? AND cursor <= ? ORDER BY cursor LIMIT ?',
    ...[build.job, after, last, BATCH],
  ) as EventRow[];
  const events = rows.map(eventOf);
  const more = rows.length === BATCH;
  if (ownEnd !== undefined && !more && after < ownEnd.cursor) events.push(ownEnd);
  return { events, ended: !more && (ownEnd !== undefined || build.status === 'ended') };
}

function endOf({ attempt, canceled_at, end_cursor, cancel_reason }: WatchedRow): StoredEvent | undefined {
  if (canceled_at === null || end_cursor === null) return undefined;
  return { ...canceledEvent(canceled_at, cancel_reason ?? ''), cursor: end_cursor, attempt };
}
