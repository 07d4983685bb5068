import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cancelable, type ErrorCode, messageOf, WorkerError } from '../errors/index.ts';

export interface LockOptions extends Cancelable {
  /** How long to wait for another holder before giving up. */
  readonly waitMs: number;
  /** The code to throw when it is still held then. */
  readonly code: ErrorCode;
}

const POLL_MS = 25;
const SQLITE_BUSY = 5;

/**
 * An exclusive lock on `path`, between processes and inside one. The file is an empty SQLite database: SQLite takes
 * kernel locks on it, which end with the process however it dies, so there is no stale lock to detect. Node has no flock
 * of its own. Nothing else may open the file: closing any descriptor of it would drop the process's locks.
 */
export async function lockFile(path: string, { signal, waitMs, code }: LockOptions): Promise<AsyncDisposable> {
  const giveUpMs = performance.now() + waitMs;
  for (;;) {
    signal.throwIfAborted();
    const held = tryLock(path);
    if (held !== undefined) {
      return {
        [Symbol.asyncDispose]: () => {
          held.close();
          return Promise.resolve();
        },
      };
    }
    if (performance.now() >= giveUpMs)
      throw new WorkerError(code, `${path} is held by another process; waited ${waitMs} ms`, { path });
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined); // an abort is thrown above, with its reason
  }
}

function tryLock(path: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return database;
  } catch (thrown) {
    database?.close();
    if (isBusy(thrown)) return undefined;
    throw new WorkerError('IO_FAILED', `lock ${path}: ${messageOf(thrown)}`, { path }, { cause: thrown });
  }
}

function isBusy(thrown: unknown): boolean {
  // The low byte is the primary result code (SQLite, "Result and Error Codes").
  return (
    thrown instanceof Error &&
    'errcode' in thrown &&
    typeof thrown.errcode === 'number' &&
    (thrown.errcode & 0xff) === SQLITE_BUSY
  );
}
