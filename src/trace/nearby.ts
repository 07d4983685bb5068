/** The daemon's numbers (`link.rs`). */
const SHORT_WAIT_US = 5000;
const KNOWN_ANSWERS = 3;
const WAITS_A_BODY = 2;
const FIRST_WINDOW = 256 * 1024;
const LEAST_WINDOW = 32 * 1024;
const MOST_WINDOW = 4 * 2 ** 20;
const WORTH = 64 * 1024;

/** What the daemon would know of a link whose answers all begin after the same time: the bytes that are worth fetching to be spared a wait. */
export class KnownLink {
  readonly #waitUs: number;
  #answers = 0;
  #window = FIRST_WINDOW;

  constructor({ firstByteUs }: { readonly firstByteUs: number }) {
    this.#waitUs = firstByteUs;
  }

  /** A body came, so long after it began. */
  carried(bytes: number, tookUs: number): void {
    this.#answers += 1;
    if (bytes < this.#window / 2) return;
    const came = (bytes * this.#waitUs * WAITS_A_BODY) / Math.max(1, tookUs);
    const step = Math.min(Math.max(came, this.#window * 0.8), this.#window * 2);
    this.#window = Math.floor(Math.min(Math.max(step, LEAST_WINDOW), MOST_WINDOW));
  }

  /** 0 where waits are short, bytes are dear, or neither is known. */
  waitBytes(): number {
    const longUs = this.#waitUs - SHORT_WAIT_US;
    if (this.#answers < KNOWN_ANSWERS || longUs <= 0) return 0;
    const worth = Math.floor((this.#window * longUs) / this.#waitUs);
    return worth < WORTH ? 0 : worth;
  }
}

export interface Around {
  /** First, and behind the last. */
  readonly read: readonly [first: number, end: number];
  readonly chunkCount: number;
  readonly waitBytes: number;
  readonly storedOf: (chunk: number) => number;
  readonly isMissing: (chunk: number) => boolean;
}

/**
 * The chunks around a read, nearest first (the daemon's `layer/nearby.rs`): behind it as many stored bytes as a wait is worth,
 * half as many before. A side of which the nearer half is there is let be.
 */
export function chunksAround({ chunkCount, isMissing, read, storedOf, waitBytes }: Around): readonly number[] {
  const side = (from: number, step: 1 | -1, window: number) => {
    const missing: number[] = [];
    let passed = 0;
    for (let chunk = from; chunk >= 0 && chunk < chunkCount; chunk += step) {
      if (passed >= window || (missing.length === 0 && passed > window / 2)) break;
      passed += storedOf(chunk);
      if (isMissing(chunk)) missing.push(chunk);
    }
    return missing;
  };
  return [...side(read[1], 1, waitBytes), ...side(read[0] - 1, -1, Math.floor(waitBytes / 2))];
}
