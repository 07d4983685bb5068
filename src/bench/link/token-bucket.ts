/** Bandwidth that everybody on a wire shares: says when bytes have passed, and keeps no time of its own. */
export class TokenBucket {
  readonly #bytesPerMs: number;
  readonly #burstMs: number;
  /** When the wire is free again, if nobody asks any more. */
  #freeMs = Number.NEGATIVE_INFINITY;

  constructor({ burstBytes, bytesPerSecond }: { readonly bytesPerSecond: number; readonly burstBytes: number }) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#burstMs = burstBytes / this.#bytesPerMs;
  }

  /** The time at which `bytes` asked for at `nowMs` are through; what an idle wire did not carry is worth at most a burst. */
  reserve(bytes: number, nowMs: number): number {
    this.#freeMs = Math.max(this.#freeMs, nowMs - this.#burstMs) + bytes / this.#bytesPerMs;
    return Math.max(nowMs, this.#freeMs);
  }
}
