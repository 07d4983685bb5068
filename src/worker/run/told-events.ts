import type { BuildEvent } from '../../buildkit/index.ts';
import type { UntimedJobEvent } from '../../jobs/index.ts';
import { BUILD_STATES, type BuildState, type Json, type NewEvent } from '../../queue/index.ts';

/** Progress of bytes at most this often for one thing: an event of a queue lasts. */
const PROGRESS_INTERVAL_MS = 1000;

type Step = Extract<BuildEvent, { readonly type: 'step-started' | 'step-ended' }>;

/**
 * What the pipeline tells as events of the queue. States only go forward, though phases overlap; output of steps becomes
 * events of kind `log`, a line with its end each; the rest is told as `clipyard build --json` prints it.
 */
export class ToldEvents {
  readonly #now: () => number;
  readonly #lastTold = new Map<string, number>();
  readonly #startedAtMs = new Map<number, number>();
  #state: BuildState = 'queued';

  /** `now`: wall clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The state the job was told to be in last. */
  get state(): BuildState {
    return this.#state;
  }

  of(event: UntimedJobEvent): readonly NewEvent[] {
    if (this.#isTooSoon(event)) return [];
    const moved = event.type === 'phase' && event.state === 'started' ? this.#moveTo(event.phase) : [];
    return [...moved, ...this.#tell(event)];
  }

  #moveTo(state: BuildState): readonly NewEvent[] {
    if (BUILD_STATES.indexOf(state) <= BUILD_STATES.indexOf(this.#state)) return [];
    this.#state = state;
    return [{ timeMs: this.#now(), phase: state, bytes: 0, kind: 'state', what: { state } }];
  }

  #tell(event: UntimedJobEvent): readonly NewEvent[] {
    const phase = phaseOf(event);
    const common = { timeMs: this.#now(), phase, bytes: bytesOf(event) };
    if (event.type !== 'buildkit') {
      const { type, ...rest } = event;
      return [{ ...common, kind: 'detail', what: jsonOf({ event: type, ...rest }) }];
    }
    const { event: told } = event;
    switch (told.type) {
      case 'log':
        return [
          {
            ...common,
            bytes: Buffer.byteLength(told.text) + 1,
            kind: 'log',
            what: { stepId: String(told.step), stream: told.stream === 'stderr' ? 2 : 1, data: `${told.text}\n` },
          },
        ];
      case 'step-started':
      case 'step-ended':
        return [{ ...common, kind: 'step', what: this.#stepOf(told) }];
      default:
        return [{ ...common, kind: 'detail', what: jsonOf({ event: 'buildkit', buildkit: told }) }];
    }
  }

  #stepOf(step: Step): Json {
    const nowMs = this.#now();
    const known = { id: String(step.step), name: step.name };
    if (step.type === 'step-started') {
      this.#startedAtMs.set(step.step, nowMs);
      return { ...known, cached: false, startedAtMs: nowMs };
    }
    return {
      ...known,
      cached: step.outcome === 'cached',
      startedAtMs: this.#startedAtMs.get(step.step) ?? nowMs - step.durationMs,
      completedAtMs: nowMs,
      ...(step.error !== undefined && { error: step.error }),
    };
  }

  #isTooSoon(event: UntimedJobEvent): boolean {
    const key = progressKey(event);
    if (key === undefined) return false;
    const nowMs = this.#now();
    if (nowMs - (this.#lastTold.get(key) ?? Number.NEGATIVE_INFINITY) < PROGRESS_INTERVAL_MS) return true;
    this.#lastTold.set(key, nowMs);
    return false;
  }
}

function phaseOf(event: UntimedJobEvent): BuildState {
  switch (event.type) {
    case 'phase':
      return event.phase;
    case 'buildkit':
      return event.event.type === 'blob' ? 'landing' : 'building';
    case 'layer':
    case 'packing':
      return 'packing';
    case 'pushing':
    case 'pushed':
      return 'pushing';
    case 'archive':
      return 'archiving';
    case 'published':
      return 'publishing';
  }
}

function bytesOf(event: UntimedJobEvent): number {
  switch (event.type) {
    case 'packing':
    case 'pushing':
      return event.doneBytes;
    case 'layer':
    case 'pushed':
    case 'archive':
      return event.sizeBytes;
    case 'buildkit':
      return event.event.type === 'blob' ? event.event.doneBytes : 0;
    case 'phase':
    case 'published':
      return 0;
  }
}

/** What the progress is of; undefined for what is told once. */
function progressKey(event: UntimedJobEvent): string | undefined {
  if (event.type === 'packing') return `packing ${event.id}`;
  if (event.type === 'pushing') return `pushing ${event.digest}`;
  if (event.type !== 'buildkit') return undefined;
  const { event: inner } = event;
  if (inner.type === 'status' && inner.state === 'running') return `status ${inner.step} ${inner.id}`;
  return inner.type === 'blob' && inner.state === 'progress' ? `blob ${inner.digest}` : undefined;
}

function jsonOf(value: object): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
