import { randomUUID } from 'node:crypto';
import type { QueueSettings } from '../build-queue.ts';
import { inTurn, passAt, strideOf, type Turn, turnsBefore } from '../fairness.ts';
import type { Job, WorkerStatus } from '../records.ts';
import { canBuild, isLeftToAnother, type Needs } from '../warmth.ts';
import type { Database } from './database.ts';
import { type JobRow, type JournalRow, jobOf, parseStored } from './rows.ts';
import { knownWorkers, saveWorker } from './workers.ts';

export interface Taken {
  readonly job: Job;
  readonly seq: number;
  readonly token: string;
}

/** Gives the worker the next job that it can and should run; within a transaction. */
export function take(db: Database, worker: WorkerStatus, settings: QueueSettings): Taken | undefined {
  const nowMs = settings.now();
  const workers = knownWorkers(db);
  const virtualTime = virtualTimeOf(db);
  const running = runningByWorkspace(db);
  for (const { workspaceId, pass } of inTurn(waitingWorkspaces(db, nowMs), virtualTime)) {
    if ((running.get(workspaceId) ?? 0) >= settings.maxRunningPerWorkspace) continue;
    const seq = firstFor(db, workspaceId, worker, workers, settings);
    if (seq === undefined) continue;
    db.run('UPDATE virtual_time SET pass = ?', pass);
    db.run(
      'UPDATE workspaces SET pass = ? WHERE workspace_id = ?',
      ...[pass + strideOf(workspaceId, settings.weights), workspaceId],
    );
    // Until it says so itself, others must not leave work for a slot that is taken now.
    saveWorker(db, { ...worker, freeSlots: Math.max(0, worker.freeSlots - 1) }, nowMs);
    return claim(db, seq, worker.workerId, settings);
  }
  return undefined;
}

function claim(db: Database, seq: number, workerId: string, { now, leaseMs }: QueueSettings): Taken {
  const [token, nowMs] = [randomUUID(), now()];
  const row = db.get(
    `UPDATE jobs SET status = 'running', state = 'preparing', attempt = attempt + 1, lease_token = ?, lease_until = ?,
       worker_id = ?, started_at = coalesce(started_at, ?) WHERE seq = ? RETURNING *`,
    ...[token, nowMs + leaseMs, workerId, nowMs, seq],
  ) as JobRow;
  const journal = db.all('SELECT * FROM journal WHERE job = ? ORDER BY seq', seq) as JournalRow[];
  return { job: jobOf(row, journal), seq, token };
}

function virtualTimeOf(db: Database): number {
  return (db.get('SELECT pass FROM virtual_time') as { pass: number }).pass;
}

function waitingWorkspaces(db: Database, nowMs: number): Turn[] {
  return db.all(
    `SELECT workspace_id AS workspaceId, pass FROM workspaces w WHERE EXISTS (SELECT 1 FROM jobs j
       WHERE j.status = 'queued' AND j.workspace_id = w.workspace_id AND j.available_at <= ?)`,
    nowMs,
  ) as Turn[];
}

function runningByWorkspace(db: Database): ReadonlyMap<string, number> {
  const rows = db.all(`SELECT workspace_id, count(*) AS running FROM jobs WHERE status = 'running' GROUP BY 1`);
  return new Map(
    (rows as { workspace_id: string; running: number }[]).map((it) => [it.workspace_id, it.running] as const),
  );
}

type LineRow = Pick<JobRow, 'seq' | 'platforms' | 'base_layers' | 'available_at'>;

function firstFor(
  db: Database,
  workspaceId: string,
  worker: WorkerStatus,
  workers: readonly WorkerStatus[],
  settings: QueueSettings,
): number | undefined {
  const line = db.iterate(
    `SELECT seq, platforms, base_layers, available_at FROM jobs
     WHERE status = 'queued' AND workspace_id = ? AND available_at <= ? ORDER BY priority DESC, seq`,
    ...[workspaceId, settings.now()],
  ) as Iterable<LineRow>;
  for (const row of line) {
    const needs: Needs = {
      platforms: parseStored(row.platforms, 'platforms') as string[],
      baseLayers: parseStored(row.base_layers, 'base layers') as string[],
      availableAtMs: row.available_at,
    };
    if (canBuild(worker, needs) && !isLeftToAnother(needs, worker, workers, settings)) return row.seq;
  }
  return undefined;
}

/** Jobs that would go before a queued one; undefined when it is not queued or canceled. */
export function position(
  db: Database,
  workspaceId: string,
  buildId: string,
  { now, weights }: QueueSettings,
): number | undefined {
  const job = db.get(
    `SELECT j.* FROM builds b JOIN jobs j ON j.seq = b.job
     WHERE b.workspace_id = ? AND b.build_id = ? AND b.canceled_at IS NULL AND j.status = 'queued'`,
    ...[workspaceId, buildId],
  ) as JobRow | undefined;
  if (job === undefined) return undefined;
  const { ahead } = db.get(
    `SELECT count(*) AS ahead FROM jobs WHERE status = 'queued' AND workspace_id = ?1 AND available_at <= ?2
       AND seq <> ?4 AND (priority > ?3 OR priority = ?3 AND seq < ?4)`,
    ...[workspaceId, now(), job.priority, job.seq],
  ) as { ahead: number };
  const virtualTime = virtualTimeOf(db);
  const lines = db.all(
    `SELECT j.workspace_id AS workspaceId, w.pass AS pass, count(*) AS waiting FROM jobs j
     JOIN workspaces w USING (workspace_id) WHERE j.status = 'queued' AND j.available_at <= ? GROUP BY 1`,
    now(),
  ) as (Turn & { waiting: number })[];
  const turns = lines.map((line) => ({ ...line, pass: passAt(line.pass, virtualTime) }));
  const mine = turns.find((it) => it.workspaceId === workspaceId) ?? { workspaceId, pass: virtualTime };
  const others = turns.filter((it) => it.workspaceId !== workspaceId);
  return ahead + turnsBefore(mine, ahead, others, weights);
}
