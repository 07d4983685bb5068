/** The steps of a build in the order they begin; they overlap (docs/architecture.md). */
export type PhaseName = 'preparing' | 'building' | 'landing' | 'packing' | 'pushing' | 'archiving' | 'publishing';

export interface Phase {
  readonly name: PhaseName;
  /** Milliseconds after the start of the job. */
  readonly startMs: number;
  readonly durationMs: number;
  /** Bytes the phase moved or read; 0 where it has none. */
  readonly bytes: number;
}

interface Span {
  startMs: number;
  endMs: number;
  bytes: number;
  /** `endMs` was set by `mark` and stays. */
  marked: boolean;
}

/** Measures phases that may overlap and be entered more than once: a phase lasts from its first start to its last end. */
export class PhaseClock {
  readonly #now: () => number;
  readonly #origin: number;
  readonly #spans = new Map<PhaseName, Span>();
  readonly #onPhase: ((name: PhaseName, state: 'started' | 'ended') => void) | undefined;

  constructor(now: () => number, onPhase?: (name: PhaseName, state: 'started' | 'ended') => void) {
    this.#now = now;
    this.#origin = now();
    this.#onPhase = onPhase;
  }

  start(name: PhaseName): void {
    if (this.#spans.has(name)) return;
    const at = this.#elapsed();
    this.#spans.set(name, { startMs: at, endMs: at, bytes: 0, marked: false });
    this.#onPhase?.(name, 'started');
  }

  addBytes(name: PhaseName, bytes: number): void {
    const span = this.#spans.get(name);
    if (span !== undefined) span.bytes += bytes;
  }

  end(name: PhaseName): void {
    const span = this.#spans.get(name);
    if (span === undefined) return;
    if (!span.marked) span.endMs = this.#elapsed();
    this.#onPhase?.(name, 'ended');
  }

  /** The phase's work is done for now; it is ended later, and more may come before. */
  mark(name: PhaseName): void {
    const span = this.#spans.get(name);
    if (span === undefined) return;
    span.endMs = this.#elapsed();
    span.marked = true;
  }

  /** Runs `work` as one phase. */
  async during<T>(name: PhaseName, work: () => Promise<T>): Promise<T> {
    this.start(name);
    try {
      return await work();
    } finally {
      this.end(name);
    }
  }

  phases(): readonly Phase[] {
    return [...this.#spans].map(([name, { startMs, endMs, bytes }]) => ({
      name,
      startMs,
      durationMs: endMs - startMs,
      bytes,
    }));
  }

  #elapsed(): number {
    return Math.round(this.#now() - this.#origin);
  }
}
