import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { WorkerError } from '../../errors/index.ts';
import type { BuildResult, UntimedJobEvent } from '../../jobs/index.ts';
import type { QueueDepth, WorkerStatus } from '../../queue/index.ts';
import { classOf } from '../run/failure.ts';
import type { RunEnd, RunObserver } from '../run/run-job.ts';
import { indexSecondsSaved } from './index-seconds.ts';

/** Seconds; from a cached step to the longest build. */
const PHASE_BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600];
const CALL_BUCKETS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];

export interface MetricSources {
  readonly status: () => WorkerStatus;
  readonly depth: () => Promise<QueueDepth>;
}

/**
 * Every metric of a worker, in base units, in the text form of Prometheus (docs/operations.md has the table). No label has values
 * that come from outside: a workspace is none.
 */
export class WorkerMetrics {
  readonly #registry = new Registry();
  readonly #phases = this.#histogram('phase_seconds', 'Duration of a phase of a finished build', ['phase']);
  readonly #builds = this.#histogram('build_seconds', 'Duration of an attempt, by how it ended', ['end']);
  readonly #bytes = this.#counter('bytes_total', 'Bytes landed, packed, sent, mounted, present, archived, logged', [
    'what',
  ]);
  readonly #layers = this.#counter('layers_total', 'Layers packed anew, taken from the cache, kept', ['packed']);
  readonly #steps = this.#counter('steps_total', 'Build steps run and cached', ['how']);
  readonly #failures = this.#counter('failures_total', 'Failed attempts by whose they are and code', ['class', 'code']);
  readonly #events = this.#counter('events_total', 'Events of builds', ['type']);
  readonly #pruned = this.#counter('buildkit_pruned_bytes_total', "Bytes removed from BuildKit's cache", []);
  readonly #indexSaved = this.#counter(
    'index_seconds_saved',
    'Seconds that reading new layers back from the registry for their index would have taken',
    [],
  );
  readonly #calls = new Histogram({
    name: 'clipyard_call_seconds',
    help: 'Duration of a call of the API by its gRPC status',
    labelNames: ['method', 'status'],
    buckets: CALL_BUCKETS,
    registers: [this.#registry],
  });

  #readQueue: () => Promise<void> = () => Promise.resolve();

  /** Gauges are read when somebody asks for the metrics. */
  watch({ depth, status }: MetricSources): void {
    this.#gauge('slots', 'Builds that may run at once', () => status().slots);
    this.#gauge('slots_free', 'Builds that could begin now', () => status().freeSlots);
    this.#gauge('ready', '1 when the worker takes builds', () => (status().reason === undefined ? 1 : 0));
    this.#gauge('draining', '1 when the worker is going away', () => (status().draining ? 1 : 0));
    this.#gauge('disk_free_bytes', 'Free bytes where builds land', () => status().diskFreeBytes);
    this.#gauge('disk_bytes', 'Bytes of that disk', () => status().diskBytes);
    const oldest = this.#gauge('queue_oldest_seconds', 'Age of the oldest job that could run and does not');
    const up = this.#gauge('queue_up', '1 when the queue answers');
    const jobs = new Gauge({
      name: 'clipyard_queue_jobs',
      help: 'Jobs in the queue by state',
      labelNames: ['state'],
      registers: [this.#registry],
    });
    this.#readQueue = async () => {
      const now = await depth().catch(() => undefined);
      up.set(now === undefined ? 0 : 1);
      if (now === undefined) return;
      oldest.set(now.oldestAgeMs / 1000);
      for (const state of ['queued', 'delayed', 'running', 'dead'] as const) jobs.set({ state }, now[state]);
    };
  }

  /** The metrics as text. */
  async text(): Promise<{ readonly contentType: string; readonly body: string }> {
    await this.#readQueue();
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  readonly observer: Required<RunObserver> = {
    onEvent: (event) => {
      this.#seeEvent(event);
    },
    onResult: (result) => {
      this.#seeResult(result);
    },
    onFailure: (error: WorkerError) => {
      this.#failures.inc({ class: classOf(error), code: error.code });
    },
  };

  attemptEnded(end: RunEnd, seconds: number): void {
    this.#builds.observe({ end }, seconds);
  }

  pruned(bytes: number): void {
    this.#pruned.inc(bytes);
  }

  callEnded(method: string, status: string, seconds: number): void {
    this.#calls.observe({ method, status }, seconds);
  }

  #seeEvent(event: UntimedJobEvent): void {
    this.#events.inc({ type: event.type === 'buildkit' ? event.event.type : event.type });
    if (event.type === 'pushed') this.#bytes.inc({ what: event.outcome }, event.sizeBytes);
    if (event.type === 'layer') this.#layers.inc({ packed: event.packed });
    if (event.type === 'layer' && event.packed === 'new') this.#bytes.inc({ what: 'packed' }, event.plainBytes);
    if (event.type === 'archive') this.#bytes.inc({ what: 'archived' }, event.sizeBytes);
    if (event.type !== 'buildkit') return;
    const { event: inner } = event;
    if (inner.type === 'log') this.#bytes.inc({ what: 'logged' }, Buffer.byteLength(inner.text) + 1);
    const cameOver = inner.type === 'blob' && inner.state === 'landed' && inner.via !== 'present';
    if (cameOver && inner.via !== 'elsewhere') this.#bytes.inc({ what: 'landed' }, inner.sizeBytes);
  }

  #seeResult(result: BuildResult): void {
    const { buildkit, phases } = result;
    this.#indexSaved.inc(indexSecondsSaved(result));
    for (const { durationMs, name } of phases) this.#phases.observe({ phase: name }, durationMs / 1000);
    this.#steps.inc({ how: 'cached' }, buildkit.cachedSteps);
    this.#steps.inc({ how: 'run' }, Math.max(0, buildkit.steps - buildkit.cachedSteps));
  }

  #histogram<Label extends string>(name: string, help: string, labelNames: Label[]): Histogram<Label> {
    const registers = [this.#registry];
    return new Histogram({ name: `clipyard_${name}`, help, labelNames, buckets: PHASE_BUCKETS, registers });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `clipyard_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, read?: () => number): Gauge {
    return new Gauge({
      name: `clipyard_${name}`,
      help,
      registers: [this.#registry],
      ...(read !== undefined && {
        collect() {
          this.set(read());
        },
      }),
    });
  }
}
