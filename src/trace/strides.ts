/** A stretch of a layer's plain stream. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** The daemon's numbers (`layer/stride.rs`). */
const REMEMBERED = 16;
const STEPS = 3;
const MOST_AHEAD = 4;

/** Finds reads that lie at equal distances, forwards or back, also when others come in between: the daemon's rule. */
export class Strides {
  readonly #starts: number[] = [];

  /** Remembers where a read began. */
  note(start: number): void {
    if (this.#starts.at(-1) === start) return;
    if (this.#starts.length >= REMEMBERED) this.#starts.shift();
    this.#starts.push(start);
  }

  /** Remembers a read, and gives the next ones of its kind: one at first, one more with each step that was equal. */
  read({ end, start }: Stretch): readonly Stretch[] {
    const found = this.#stepsTo(start, end - start);
    this.note(start);
    if (found === undefined) return [];
    const ahead = Math.min(found.steps + 1 - STEPS, MOST_AHEAD);
    return Array.from({ length: ahead }, (_, at) => start + found.stride * (at + 1))
      .filter((next) => next >= 0)
      .map((next) => ({ start: next, end: next + end - start }));
  }

  #stepsTo(start: number, length: number) {
    let best: { readonly stride: number; readonly steps: number } | undefined;
    for (const before of this.#starts.toReversed()) {
      const stride = start - before;
      if (Math.abs(stride) < Math.max(length, 1)) continue;
      const steps = this.#steps(start, stride);
      // Of equal ones the last counts, as the daemon's iterator has it.
      if (steps >= STEPS && steps >= (best?.steps ?? 0)) best = { stride, steps };
    }
    return best;
  }

  #steps(start: number, stride: number): number {
    let steps = 0;
    while (steps < REMEMBERED && this.#starts.includes(start - stride * (steps + 1))) steps += 1;
    return steps;
  }
}
