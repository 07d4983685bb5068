import type {
  StatusResponse,
  Vertex,
  VertexLog,
  VertexStatus,
  VertexWarning,
} from '../../gen/github.com/moby/buildkit/api/services/control/control.ts';
import type { BuildEvent, BuildListener } from './events.ts';
import { LogLines } from './log-lines.ts';
import { LogTail } from './log-tail.ts';
import { baseReferenceOf, isUserStep } from './step-names.ts';

/** Last lines of each stream kept for the message of a failed step. */
const KEPT_LOG_LINES = 50;
/** Attempts to pull or export this image; the vertex that stands for the export. */
const EXPORT_NAME = /^exporting to /;

interface Step {
  readonly step: number;
  readonly digest: string;
  name: string;
  cached: boolean;
  state: 'waiting' | 'running' | 'ended';
  startedMs: number | undefined;
  /** Its end, not told yet: it may begin again. */
  heldEnd: BuildEvent | undefined;
  error: string;
  readonly lines: Record<'stdout' | 'stderr', LogLines>;
  readonly tail: LogTail;
}

export interface StepCounts {
  /** Instructions of the Dockerfile that BuildKit looked at, without `FROM`. */
  readonly steps: number;
  readonly cachedSteps: number;
}

/** Puts the deltas of `Control.Status` together and tells them as events. */
export class BuildProgress {
  readonly #listener: BuildListener;
  readonly #steps = new Map<string, Step>();

  constructor(listener: BuildListener) {
    this.#listener = listener;
  }

  apply({ vertexes, statuses, logs, warnings }: StatusResponse): void {
    for (const vertex of vertexes) this.#applyVertex(vertex);
    for (const status of statuses) this.#applyStatus(status);
    for (const log of logs) this.#applyLog(log);
    for (const warning of warnings) this.#applyWarning(warning);
  }

  /** Lines without an end are told when the build is over. */
  end(): void {
    for (const step of this.#steps.values()) {
      this.#endLines(step);
      this.#tellHeldEnd(step);
    }
  }

  counts(): StepCounts {
    const steps = [...this.#steps.values()].filter(({ name, state }) => isUserStep(name) && state !== 'waiting');
    return { steps: steps.length, cachedSteps: steps.filter(({ cached }) => cached).length };
  }

  /** Images that the stages start from, as BuildKit resolved them. */
  baseReferences(): readonly string[] {
    const references = [...this.#steps.values()].flatMap(({ name }) => baseReferenceOf(name) ?? []);
    return [...new Set(references)];
  }

  /** The step with that vertex digest, or the first that failed. */
  failedStep(digest: string | undefined): { readonly name: string; readonly tail: LogTail } | undefined {
    const named = digest === undefined ? undefined : this.#steps.get(digest);
    return named ?? [...this.#steps.values()].find(({ error }) => error !== '' && !error.includes('context canceled'));
  }

  #stepOf(digest: string): Step {
    const known = this.#steps.get(digest);
    if (known !== undefined) return known;
    const step: Step = {
      step: this.#steps.size + 1,
      digest,
      name: '',
      cached: false,
      state: 'waiting',
      startedMs: undefined,
      heldEnd: undefined,
      error: '',
      lines: { stdout: new LogLines(), stderr: new LogLines() },
      tail: new LogTail(KEPT_LOG_LINES),
    };
    this.#steps.set(digest, step);
    return step;
  }

  #applyVertex({ cached, completed, digest, error, name, started }: Vertex): void {
    const step = this.#stepOf(digest);
    if (name !== '') step.name = name;
    step.cached ||= cached; // a later message may take it back: it was a hit all the same
    if (error !== '') step.error = error;
    if (started === undefined) return;
    if (step.state === 'waiting' || (step.state === 'ended' && completed === undefined)) this.#start(step, started);
    if (completed !== undefined && step.state === 'running') this.#finish(step, completed);
  }

  #start(step: Step, started: Date): void {
    const resumed = step.heldEnd !== undefined;
    step.heldEnd = undefined;
    step.state = 'running';
    step.startedMs = started.getTime();
    if (resumed) return;
    this.#listener({ type: 'step-started', step: step.step, name: step.name, isUserStep: isUserStep(step.name) });
    if (EXPORT_NAME.test(step.name)) this.#listener({ type: 'export-started' });
  }

  #finish(step: Step, completed: Date): void {
    step.state = 'ended'; // its output may still come, the rest of a line first
    const { cached, error, name } = step;
    const outcome =
      error === '' ? (cached ? 'cached' : 'done') : error.includes('context canceled') ? 'canceled' : 'failed';
    const end: BuildEvent = {
      type: 'step-ended',
      step: step.step,
      name,
      isUserStep: isUserStep(name),
      outcome,
      durationMs: Math.max(0, completed.getTime() - (step.startedMs ?? completed.getTime())),
      error: error === '' ? undefined : error,
    };
    // Plumbing runs twice, the first time for its cache key and in no time: that is one step to a person.
    if (!end.isUserStep && outcome === 'done' && end.durationMs === 0) step.heldEnd = end;
    else this.#listener(end);
  }

  #tellHeldEnd(step: Step): void {
    if (step.heldEnd !== undefined) this.#listener(step.heldEnd);
    step.heldEnd = undefined;
  }

  #applyStatus({ ID: id, completed, current, total, vertex }: VertexStatus): void {
    this.#listener({
      type: 'status',
      step: this.#stepOf(vertex).step,
      id,
      state: completed === undefined ? 'running' : 'done',
      current: Number(current),
      total: total > 0n ? Number(total) : undefined,
    });
  }

  #applyLog({ msg, stream, timestamp, vertex }: VertexLog): void {
    const step = this.#stepOf(vertex);
    const name = stream === 2n ? 'stderr' : 'stdout';
    for (const text of step.lines[name].push(msg)) this.#tellLine(step, name, text, timestamp?.getTime());
  }

  #endLines(step: Step): void {
    for (const name of ['stdout', 'stderr'] as const) {
      for (const text of step.lines[name].end()) this.#tellLine(step, name, text, undefined);
    }
  }

  #tellLine(step: Step, stream: 'stdout' | 'stderr', text: string, timeMs: number | undefined): void {
    step.tail.push(stream, text);
    const startMs = step.startedMs ?? timeMs ?? 0;
    this.#listener({ type: 'log', step: step.step, stream, text, atMs: Math.max(0, (timeMs ?? startMs) - startMs) });
  }

  #applyWarning({ short, url, vertex }: VertexWarning): void {
    this.#listener({
      type: 'warning',
      step: this.#stepOf(vertex).step,
      text: short.toString(),
      url: url === '' ? undefined : url,
    });
  }
}
