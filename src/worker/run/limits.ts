import { WorkerError } from '../../errors/index.ts';
import type { PhaseName, UntimedJobEvent } from '../../jobs/index.ts';

/** What one build may cost. Times in milliseconds; undefined: no limit. */
export interface RunLimits {
  /** The whole attempt. */
  readonly buildMs: number | undefined;
  readonly phaseMs: Readonly<Partial<Record<PhaseName, number>>>;
  /** Of all layers as BuildKit gives them, those of base images included. */
  readonly imageBytes: number | undefined;
  readonly layers: number | undefined;
}

export interface LimitWatchOptions {
  /** When the submitter's patience ends; milliseconds since 1970. */
  readonly deadlineMs: number | undefined;
  readonly now: () => number;
  /** Called once. */
  readonly onExceeded: (error: WorkerError) => void;
}

/** The longest pause a timer of Node can have. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Listens to a build and stops it when it costs too much: DEADLINE_EXCEEDED with the phase, LIMIT_EXCEEDED. */
export class LimitWatch implements Disposable {
  readonly #limits: RunLimits;
  readonly #onExceeded: (error: WorkerError) => void;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #blobs = new Map<string, number>();
  readonly #layers = new Set<string>();
  #phase = 'preparing';
  #over = false;

  constructor(limits: RunLimits, { deadlineMs, now, onExceeded }: LimitWatchOptions) {
    this.#limits = limits;
    this.#onExceeded = onExceeded;
    if (limits.buildMs !== undefined) this.#startTimer('build', limits.buildMs);
    if (deadlineMs !== undefined) this.#startTimer('deadline', Math.max(0, deadlineMs - now()));
  }

  see(event: UntimedJobEvent): void {
    if (event.type === 'phase') this.#seePhase(event.phase, event.state);
    if (event.type === 'buildkit' && event.event.type === 'blob')
      this.#seeBlob(event.event.digest, event.event.sizeBytes);
    if (event.type === 'layer') this.#seeLayer(event.diffId);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #seePhase(phase: PhaseName, state: 'started' | 'ended'): void {
    const limitMs = this.#limits.phaseMs[phase];
    if (state === 'started') {
      this.#phase = phase;
      if (limitMs !== undefined) this.#startTimer(phase, limitMs);
    } else {
      clearTimeout(this.#timers.get(phase));
      this.#timers.delete(phase);
    }
  }

  #seeBlob(digest: string, sizeBytes: number): void {
    const { imageBytes } = this.#limits;
    this.#blobs.set(digest, sizeBytes);
    const sum = [...this.#blobs.values()].reduce((total, bytes) => total + bytes, 0);
    if (imageBytes !== undefined && sum > imageBytes) this.#exceed('image-bytes', sum, imageBytes);
  }

  #seeLayer(diffId: string): void {
    const { layers } = this.#limits;
    this.#layers.add(diffId);
    if (layers !== undefined && this.#layers.size > layers) this.#exceed('layers', this.#layers.size, layers);
  }

  #startTimer(name: string, limitMs: number): void {
    clearTimeout(this.#timers.get(name));
    const timer = setTimeout(
      () => {
        const phase = this.#phase;
        const what =
          name === 'build' || name === 'deadline' ? `the build, in its phase ${phase},` : `the phase ${name}`;
        this.#stop(
          new WorkerError('DEADLINE_EXCEEDED', `${what} took longer than ${limitMs} ms`, {
            limit: name,
            limitMs,
            phase: name === 'build' || name === 'deadline' ? phase : name,
          }),
        );
      },
      Math.min(limitMs, MAX_TIMER_MS),
    );
    this.#timers.set(name, timer);
  }

  #exceed(limit: string, value: number, most: number): void {
    this.#stop(
      new WorkerError('LIMIT_EXCEEDED', `the image has ${limit} ${value}, at most ${most} are allowed`, { limit }),
    );
  }

  #stop(error: WorkerError): void {
    if (this.#over) return;
    this[Symbol.dispose]();
    this.#onExceeded(error);
  }
}
