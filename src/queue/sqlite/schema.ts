import type { DatabaseSync } from 'node:sqlite';
import { WorkerError } from '../../errors/index.ts';

/** `PRAGMA application_id` of a queue's file: "clyq". */
const APPLICATION_ID = 0x636c7971;
export const SCHEMA_VERSION = 1;

/**
 * `status` is where a job is (queued, running, ended), `state` what its builds show. `seq` is its place; `available_at` the
 * time from which it may run. Times are milliseconds since 1970. docs/queue.md describes the tables.
 */
const SCHEMA = `
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id TEXT NOT NULL UNIQUE,
  workspace_id TEXT NOT NULL,
  image_id TEXT NOT NULL,
  key TEXT NOT NULL,
  spec TEXT NOT NULL,
  priority INTEGER NOT NULL,
  platforms TEXT NOT NULL,
  base_layers TEXT NOT NULL,
  deadline_ms REAL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'ended')),
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  submitted_at REAL NOT NULL,
  available_at REAL NOT NULL,
  started_at REAL,
  ended_at REAL,
  last_cursor INTEGER NOT NULL DEFAULT 0,
  lease_token TEXT,
  lease_until REAL,
  worker_id TEXT,
  canceled INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  result TEXT,
  failure TEXT
) STRICT;
CREATE UNIQUE INDEX job_in_flight ON jobs (workspace_id, key) WHERE status <> 'ended' AND canceled = 0;
CREATE INDEX job_line ON jobs (workspace_id, priority DESC, seq) WHERE status = 'queued';
CREATE INDEX job_due ON jobs (available_at) WHERE status = 'queued';
CREATE INDEX job_deadline ON jobs (deadline_ms) WHERE status = 'queued' AND deadline_ms IS NOT NULL;
CREATE INDEX job_running ON jobs (lease_until) WHERE status = 'running';
CREATE INDEX job_dead ON jobs (seq) WHERE dead = 1;
CREATE TABLE builds (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  build_id TEXT NOT NULL UNIQUE,
  job INTEGER NOT NULL REFERENCES jobs (seq),
  workspace_id TEXT NOT NULL,
  image_id TEXT NOT NULL,
  idempotency_key TEXT,
  priority INTEGER NOT NULL,
  submitted_at REAL NOT NULL,
  canceled_at REAL,
  end_cursor INTEGER,
  cancel_reason TEXT
) STRICT;
CREATE INDEX build_list ON builds (workspace_id, seq);
CREATE INDEX build_job ON builds (job);
CREATE UNIQUE INDEX build_once ON builds (workspace_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE events (
  job INTEGER NOT NULL REFERENCES jobs (seq),
  cursor INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  time_ms REAL NOT NULL,
  phase TEXT NOT NULL,
  bytes REAL NOT NULL,
  kind TEXT NOT NULL,
  what TEXT NOT NULL,
  PRIMARY KEY (job, cursor)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER NOT NULL REFERENCES jobs (seq),
  step TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  time_ms REAL NOT NULL,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX journal_job ON journal (job, seq);
CREATE TABLE workspaces (workspace_id TEXT PRIMARY KEY, pass INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE virtual_time (one INTEGER PRIMARY KEY CHECK (one = 1), pass INTEGER NOT NULL) STRICT;
INSERT INTO virtual_time VALUES (1, 0);
CREATE TABLE workers (worker_id TEXT PRIMARY KEY, seen_at REAL NOT NULL, status TEXT NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${SCHEMA_VERSION};
`;

const pragma = (db: DatabaseSync, name: string): number =>
  Number((db.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[name]);

/** Makes the tables in an empty file. Throws QUEUE_CORRUPT on a file of something else or of another version. */
export function applySchema(db: DatabaseSync, file: string): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    const version = pragma(db, 'user_version');
    const empty = version === 0 && pragma(db, 'application_id') === 0 && pragma(db, 'schema_version') === 0;
    if (empty) db.exec(SCHEMA);
    else if (pragma(db, 'application_id') !== APPLICATION_ID)
      throw new WorkerError('QUEUE_CORRUPT', `${file} is a database of something else than a queue`, { file });
    else if (version !== SCHEMA_VERSION)
      throw new WorkerError('QUEUE_CORRUPT', `${file} has schema ${version}; this program knows ${SCHEMA_VERSION}`, {
        file,
        version,
      });
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
