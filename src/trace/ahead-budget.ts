/** What a layer may hold unread however little of it was read, and how much of what was read (the daemon's `layer/budget.rs`). */
const FREE_BYTES = 2 ** 20;
const PERCENT = 25;
/** Over a link with long waits what is worth so many of them. */
const WAITS = 12;

/** Bounds what is fetched of a layer for nothing, in stored bytes. */
export class AheadBudget {
  #readBytes = 0;
  #unreadBytes = 0;

  /** Takes bytes to fetch ahead, where a wait is worth `waitBytes`; false when that is too much now. */
  take(bytes: number, waitBytes: number): boolean {
    const most = Math.floor((this.#readBytes * PERCENT) / 100) + FREE_BYTES + WAITS * waitBytes;
    if (this.#unreadBytes + bytes > most) return false;
    this.#unreadBytes += bytes;
    return true;
  }

  /** Bytes that were fetched ahead are read. */
  used(bytes: number): void {
    this.#unreadBytes = Math.max(0, this.#unreadBytes - bytes);
    this.#readBytes += bytes;
  }

  /** Bytes are fetched because somebody waits for them. */
  wanted(bytes: number): void {
    this.#readBytes += bytes;
  }
}
