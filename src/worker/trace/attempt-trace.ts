import { createHash, randomBytes } from 'node:crypto';
import type { PhaseName, UntimedJobEvent } from '../../jobs/index.ts';
import type { Job } from '../../queue/index.ts';
import type { RunEnd } from '../run/run-job.ts';

/** A span as OTLP writes it in JSON (opentelemetry-proto 1.x, trace.proto); ids are hex, times nanoseconds since 1970. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: typeof KIND_INTERNAL;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code: 0 | 1 | 2; readonly message?: string };
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue: string } | { readonly intValue: string };
}

const KIND_INTERNAL = 1;
const STATUS = { unset: 0, ok: 1, error: 2 } as const;
/** Of a Dockerfile without end; phases always fit. */
const MAX_STEPS = 500;
const FAILED: readonly RunEnd[] = ['failed', 'retried', 'lost'];

/** The spans of one attempt: itself, its phases, and BuildKit's steps. All attempts of a job are one trace. */
export class AttemptTrace {
  readonly #job: Pick<Job, 'jobId' | 'workspaceId' | 'imageId' | 'attempt'>;
  readonly #now: () => number;
  readonly #traceId: string;
  readonly #spanId = newSpanId();
  readonly #startMs: number;
  readonly #phases = new Map<
    PhaseName,
    { readonly spanId: string; readonly startMs: number; endMs: number | undefined }
  >();
  readonly #steps: Span[] = [];
  #failure: { readonly code: string; readonly message: string } | undefined;

  /** `now`: wall clock. */
  constructor(job: Pick<Job, 'jobId' | 'workspaceId' | 'imageId' | 'attempt'>, now: () => number) {
    this.#job = job;
    this.#now = now;
    this.#startMs = now();
    this.#traceId = traceIdOf(job.jobId);
  }

  see(event: UntimedJobEvent): void {
    const nowMs = this.#now();
    if (event.type === 'phase') this.#seePhase(event.phase, event.state, nowMs);
    if (event.type !== 'buildkit' || event.event.type !== 'step-ended' || this.#steps.length >= MAX_STEPS) return;
    const { durationMs, name, outcome } = event.event;
    const building = this.#phases.get('building');
    this.#steps.push(
      this.#span(newSpanId(), building?.spanId ?? this.#spanId, name, nowMs - durationMs, nowMs, {
        attributes: [text('clipyard.outcome', outcome)],
        status: { code: outcome === 'failed' ? STATUS.error : STATUS.unset },
      }),
    );
  }

  fail(failure: { readonly code: string; readonly message: string }): void {
    this.#failure = failure;
  }

  /** What did not end by itself ends now. */
  end(how: RunEnd): readonly Span[] {
    const nowMs = this.#now();
    const { attempt, imageId, jobId, workspaceId } = this.#job;
    const code = how === 'done' ? STATUS.ok : FAILED.includes(how) ? STATUS.error : STATUS.unset;
    const root = this.#span(this.#spanId, undefined, 'build', this.#startMs, nowMs, {
      attributes: [
        text('clipyard.job_id', jobId),
        text('clipyard.workspace_id', workspaceId),
        text('clipyard.image_id', imageId),
        { key: 'clipyard.attempt', value: { intValue: String(attempt) } },
        text('clipyard.end', how),
        ...(this.#failure === undefined ? [] : [text('error.type', this.#failure.code)]),
      ],
      status: { code, ...(this.#failure !== undefined && { message: this.#failure.message }) },
    });
    const phases = [...this.#phases].map(([name, { endMs, spanId, startMs }]) =>
      this.#span(spanId, this.#spanId, name, startMs, endMs ?? nowMs, {
        attributes: [],
        status: { code: endMs === undefined && code === STATUS.error ? STATUS.error : STATUS.unset },
      }),
    );
    return [root, ...phases, ...this.#steps];
  }

  /** A phase lasts from its first start to its last end. */
  #seePhase(name: PhaseName, state: 'started' | 'ended', nowMs: number): void {
    const known = this.#phases.get(name);
    if (state === 'ended' && known !== undefined) known.endMs = nowMs;
    if (state === 'started' && known === undefined)
      this.#phases.set(name, { spanId: newSpanId(), startMs: nowMs, endMs: undefined });
  }

  #span(
    spanId: string,
    parentSpanId: string | undefined,
    name: string,
    startMs: number,
    endMs: number,
    rest: Pick<Span, 'attributes' | 'status'>,
  ): Span {
    return {
      traceId: this.#traceId,
      spanId,
      ...(parentSpanId !== undefined && { parentSpanId }),
      name,
      kind: KIND_INTERNAL,
      startTimeUnixNano: nanoseconds(startMs),
      endTimeUnixNano: nanoseconds(endMs),
      ...rest,
    };
  }
}

/** 32 hex digits: those of the job's id where it is a UUID. */
export function traceIdOf(jobId: string): string {
  const hex = jobId.replaceAll('-', '').toLowerCase();
  return /^[0-9a-f]{32}$/.test(hex) ? hex : createHash('sha256').update(jobId).digest('hex').slice(0, 32);
}

function newSpanId(): string {
  return randomBytes(8).toString('hex');
}

function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms)) * 1_000_000n);
}

function text(key: string, stringValue: string): Attribute {
  return { key, value: { stringValue } };
}
