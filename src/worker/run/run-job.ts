import { join } from 'node:path';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import {
  type BuildContext,
  type BuildResult,
  buildImage,
  type ImageBuild,
  type UntimedJobEvent,
} from '../../jobs/index.ts';
import type { Job, Json, Lease } from '../../queue/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { logPrefix, StepLogWriter } from '../logs/step-log-writer.ts';
import { failureOf } from './failure.ts';
import { leaseJournal } from './lease-journal.ts';
import { LimitWatch, type RunLimits } from './limits.ts';
import { type RetryPolicy, retryDelayMs } from './retry-policy.ts';
import { Teller } from './teller.ts';
import { ToldEvents } from './told-events.ts';
import { isLost, untilAnswered } from './until-answered.ts';

/** A job's inputs on this machine: context unpacked, sources pinned, secrets opened. Disposing removes them. */
export interface RunnableBuild extends AsyncDisposable {
  readonly image: ImageBuild;
}

/** What the worker hears of a running job beside its events; for metrics. */
export interface RunObserver {
  onEvent?(event: UntimedJobEvent): void;
  onResult?(result: BuildResult): void;
  onFailure?(error: WorkerError): void;
}

export interface LogLimits {
  /** Of the log of an attempt in the store. */
  readonly maxBytes: number;
  /** Of that log in events, which watchers see live. */
  readonly maxLiveBytes: number;
  readonly chunkBytes: number;
}

export interface RunContext {
  /** Everything a build needs that is the same for all jobs. */
  readonly services: Omit<BuildContext, 'signal' | 'report' | 'journal'>;
  /** Throws what a build can be refused for. */
  readonly prepare: (job: Job, options: { readonly signal: AbortSignal }) => Promise<RunnableBuild>;
  /** For files that wait to be uploaded. */
  readonly scratchDir: string;
  readonly limits: RunLimits;
  readonly logLimits: LogLimits;
  readonly retry: RetryPolicy;
  /** Aborted when the worker can wait no longer: the job goes back into the queue. */
  readonly handBack: AbortSignal;
  readonly observer: RunObserver;
  /** Keeps a published result for equal builds to come; a failure costs them a build and fails nothing here. */
  readonly remember?: (result: BuildResult, options: Cancelable) => Promise<void>;
  readonly log: Log;
  /** Wall clock. */
  readonly now: () => number;
  /** 0 to 1. */
  readonly random: () => number;
}

/** How an attempt ended. `lost`: the job is another worker's, which is nothing to tell anybody. */
export type RunEnd = 'done' | 'failed' | 'canceled' | 'retried' | 'handed-back' | 'lost';

/** Until what is told has gone out; then whoever waits for the slot goes first. */
const TELL_EVERY_MS = 100;
const MAX_WAITING_BYTES = 4 * 1024 ** 2;
const LOG_CLOSE_MS = 60_000;
const REMEMBER_MS = 10_000;

/**
 * Runs a leased job to the end of this attempt: tells what happens, journals finished steps, and ends the lease in the one way
 * that fits. Throws nothing but defects: every failure is the job's.
 */
export async function runJob(lease: Lease, context: RunContext): Promise<RunEnd> {
  const { now, observer } = context;
  const { job } = lease;
  const log = context.log.child({ jobId: job.jobId, workspaceId: job.workspaceId, imageId: job.imageId });
  const stop = new AbortController();
  const onLost = (reason: unknown) => {
    stop.abort(reason);
  };
  const { maxLiveBytes } = context.logLimits;
  const bounds = { everyMs: TELL_EVERY_MS, maxWaitingBytes: MAX_WAITING_BYTES, maxLogBytes: maxLiveBytes };
  const teller = new Teller(lease, { ...bounds, now, onLost });
  const told = new ToldEvents(now);
  const stepLog = openStepLog(job, context, log);
  using limits = new LimitWatch(context.limits, { deadlineMs: job.deadlineMs, now, onExceeded: onLost });
  const report = (event: UntimedJobEvent) => {
    limits.see(event);
    observer.onEvent?.(event);
    if (event.type === 'buildkit' && event.event.type === 'log') {
      const { step, stream, text } = event.event;
      stepLog.write({ timeMs: now(), step, stream, text });
    }
    for (const one of told.of(event)) teller.push(one);
  };
  const signal = AbortSignal.any([lease.signal, context.handBack, stop.signal]);
  log.info({ attempt: job.attempt }, 'job taken');
  let outcome: { readonly result: BuildResult } | { readonly thrown: unknown };
  try {
    outcome = { result: await build(lease, { ...context, log }, report, signal) };
  } catch (thrown) {
    outcome = { thrown: signal.aborted ? signal.reason : thrown };
  }
  limits[Symbol.dispose]();
  const logs = await stepLog.close({ signal: AbortSignal.timeout(LOG_CLOSE_MS) });
  if (logs !== undefined && !isLost(lease.signal))
    teller.push({ timeMs: now(), phase: told.state, bytes: 0, kind: 'detail', what: { event: 'logs', uri: logs } });
  const end = await endLease(lease, teller, outcome, { ...context, log, phase: told.state, logs });
  teller.stop();
  log.info({ attempt: job.attempt, end }, 'job left');
  return end;
}

async function build(
  lease: Lease,
  { log, prepare, services }: RunContext,
  report: (event: UntimedJobEvent) => void,
  signal: AbortSignal,
): Promise<BuildResult> {
  const journal = leaseJournal(lease);
  report({ type: 'phase', phase: 'preparing', state: 'started' });
  await using prepared = await prepare(lease.job, { signal });
  return await buildImage(prepared.image, { ...services, log, report, signal, journal });
}

function openStepLog(job: Job, { logLimits, scratchDir, services: { store } }: RunContext, log: Log): StepLogWriter {
  const { chunkBytes, maxBytes } = logLimits;
  const directory = join(scratchDir, `logs-${job.jobId}-${job.attempt}`);
  const prefix = logPrefix(job.workspaceId, job.jobId, job.attempt);
  return new StepLogWriter({ store, directory, prefix, chunkBytes, maxBytes, log });
}

interface Ending extends RunContext {
  readonly phase: ReturnType<() => ToldEvents['state']>;
  readonly logs: string | undefined;
}

async function endLease(
  lease: Lease,
  teller: Teller,
  outcome: { readonly result: BuildResult } | { readonly thrown: unknown },
  context: Ending,
): Promise<RunEnd> {
  const { log, observer } = context;
  try {
    if (isLost(lease.signal)) return 'lost';
    await teller.flush();
    if ('result' in outcome && !lease.signal.aborted) {
      observer.onResult?.(outcome.result);
      await rememberResult(outcome.result, context);
      const result = JSON.parse(JSON.stringify(outcome.result)) as Json;
      await untilAnswered(() => lease.end({ state: 'done', result }), lease);
      return 'done';
    }
    return await endThrown(lease, 'thrown' in outcome ? outcome.thrown : lease.signal.reason, context);
  } catch (thrown) {
    // The queue has the journal: who takes the job next finds what is finished, and ends it.
    const error = toWorkerError(thrown, 'end the job');
    log.warn({ code: error.code, reason: error.message }, 'the job could not be ended here');
    return 'lost';
  }
}

async function rememberResult(result: BuildResult, { log, remember }: RunContext): Promise<void> {
  try {
    await remember?.(result, { signal: AbortSignal.timeout(REMEMBER_MS) });
  } catch (thrown) {
    const error = toWorkerError(thrown, 'remember the build');
    log.warn(
      { code: error.code, reason: error.message },
      'the build is not remembered: an equal one will be built again',
    );
  }
}

async function endThrown(lease: Lease, thrown: unknown, context: Ending): Promise<RunEnd> {
  const { handBack, log, logs, observer, phase, random, retry } = context;
  const error = toWorkerError(thrown, `job ${lease.job.jobId}`);
  // What stopped the build first need not be why the job is another's.
  if (error.code === 'LEASE_LOST' || isLost(lease.signal)) return 'lost';
  if (lease.signal.aborted) {
    await untilAnswered(() => lease.endCanceled(), lease);
    return 'canceled';
  }
  // A build of the same image has the landing layout: no attempt was made.
  if (handBack.aborted || error.code === 'LAYOUT_LOCKED') {
    await untilAnswered(() => lease.handBack(), lease);
    return 'handed-back';
  }
  observer.onFailure?.(error);
  const failure = failureOf(error, { phase, logs });
  const { attempt } = lease.job;
  const afterMs = retryDelayMs(error, { attempt, random: random() }, retry);
  log.warn({ code: error.code, reason: error.message, phase, attempt, retryAfterMs: afterMs }, 'attempt failed');
  if (afterMs === undefined) await untilAnswered(() => lease.end({ state: 'failed', failure }), lease);
  else await untilAnswered(() => lease.retry(failure, afterMs), lease);
  return afterMs === undefined ? 'failed' : 'retried';
}
