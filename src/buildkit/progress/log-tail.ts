interface TailLine {
  readonly number: number;
  readonly text: string;
}

/**
 * The end of a step's output. Both streams reach us through buffers of their own, so the error a step ends with may arrive
 * before a screen of ordinary output: half of what is shown is therefore kept for stderr.
 */
export class LogTail {
  readonly #kept: number;
  readonly #lines: Readonly<Record<'stdout' | 'stderr', TailLine[]>> = { stdout: [], stderr: [] };
  #count = 0;

  /** `kept` lines of each stream are remembered. */
  constructor(kept: number) {
    this.#kept = kept;
  }

  push(stream: 'stdout' | 'stderr', text: string): void {
    const lines = this.#lines[stream];
    lines.push({ number: this.#count++, text });
    if (lines.length > this.#kept) lines.shift();
  }

  /** Lines there were in all. */
  get count(): number {
    return this.#count;
  }

  /** The last lines, in the order they came. */
  last(limit: number): readonly string[] {
    const { stderr, stdout } = this.#lines;
    const errors = stderr.slice(-Math.ceil(limit / 2));
    const others = [...stdout, ...stderr.slice(0, stderr.length - errors.length)].toSorted(inOrder);
    const room = limit - errors.length;
    return [...errors, ...(room === 0 ? [] : others.slice(-room))].toSorted(inOrder).map(({ text }) => text);
  }
}

function inOrder(a: TailLine, b: TailLine): number {
  return a.number - b.number;
}
