import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type ErrorCode, messageOf, WorkerError } from '../../errors/index.ts';
import { applySchema } from './schema.ts';

/** How long a process waits for another's transaction; they last a few milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;

/** SQLite's primary result codes (sqlite.org/rescode.html) that mean something else than "does not answer". */
const CODES: Readonly<Record<number, ErrorCode>> = { 11: 'QUEUE_CORRUPT', 13: 'DISK_FULL', 26: 'QUEUE_CORRUPT' };

/** A connection to the file: WAL, and each commit is on the disk when it returns. */
export class Database implements Disposable {
  readonly #file: string;
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(file: string) {
    this.#file = file;
    try {
      this.#db = new DatabaseSync(file);
    } catch (error) {
      throw this.#failed(error);
    }
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
      this.#db.exec('PRAGMA journal_mode = WAL');
      // NORMAL may forget the last commits on power loss: a client was told of them already.
      this.#db.exec('PRAGMA synchronous = FULL');
      this.#db.exec('PRAGMA foreign_keys = ON');
      applySchema(this.#db, file);
    } catch (error) {
      this.#db.close();
      throw this.#failed(error);
    }
  }

  all(sql: string, ...values: SQLInputValue[]): unknown[] {
    return this.#statement(sql).all(...values);
  }

  get(sql: string, ...values: SQLInputValue[]): unknown {
    return this.#statement(sql).get(...values);
  }

  /** Rows one by one, for who may stop early. */
  iterate(sql: string, ...values: SQLInputValue[]): Iterable<unknown> {
    return this.#statement(sql).iterate(...values);
  }

  /** Number of rows that were changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  /** Everything or nothing, and no other process writes meanwhile. */
  write<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Errors of SQLite become ours. */
  guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Differs from the last one when another connection has committed. */
  dataVersion(): number {
    return (this.get('PRAGMA data_version') as { data_version: number }).data_version;
  }

  [Symbol.dispose](): void {
    this.#prepared.clear();
    this.#db.close();
  }

  #statement(sql: string): StatementSync {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }

  #failed(error: unknown): unknown {
    if (error instanceof WorkerError || !(error instanceof Error) || !('errcode' in error)) return error;
    const code = CODES[Number(error.errcode) & 0xff] ?? 'QUEUE_UNAVAILABLE';
    return new WorkerError(code, `queue ${this.#file}: ${messageOf(error)}`, { file: this.#file }, { cause: error });
  }
}
