import type { Cancelable } from '../../errors/index.ts';
import { Bell } from '../bell.ts';
import type { Database } from './database.ts';

/** How long another process's commit stays unnoticed. A look costs some microseconds: it reads shared memory. */
const POLL_MS = 40;

/** Rings when the file changed: at once for this connection's commits, soon for those of others. */
export class Changes implements Disposable {
  /** Something was told of a job. */
  readonly told = new Bell();
  /** A job came, was canceled, ended or went back. */
  readonly moved = new Bell();
  readonly #db: Database;
  #attending = 0;
  #timer: NodeJS.Timeout | undefined;
  #version = 0;

  constructor(db: Database) {
    this.#db = db;
  }

  /** While it is held, commits of other connections are looked for. */
  attend(): Disposable {
    this.#attending += 1;
    this.#timer ??= setInterval(() => {
      this.#poll();
    }, POLL_MS);
    return {
      [Symbol.dispose]: () => {
        this.#attending -= 1;
        if (this.#attending === 0) this.#stop();
      },
    };
  }

  async waitMoved(rings: number, atMostMs: number, options: Cancelable): Promise<void> {
    using _ = this.attend();
    await this.moved.waitSince(rings, atMostMs, options);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #poll(): void {
    const version = this.#db.guard(() => this.#db.dataVersion());
    if (version === this.#version) return;
    this.#version = version;
    this.told.ring();
    this.moved.ring();
  }
}
