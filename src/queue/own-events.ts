import type { NewEvent, Outcome, StoredFailure } from './records.ts';
import type { BuildState } from './states.ts';

/** The events that a queue tells by itself: everything that happens to a job while no worker holds it, and its end. */

const stateEvent = (timeMs: number, phase: BuildState, more: Exclude<NewEvent['what'], null>): NewEvent => ({
  timeMs,
  phase,
  bytes: 0,
  kind: 'state',
  what: { state: phase, ...(more as object) },
});

export const queuedEvent = (timeMs: number): NewEvent => stateEvent(timeMs, 'queued', { why: 'submitted' });

export const handedBackEvent = (timeMs: number): NewEvent => stateEvent(timeMs, 'queued', { why: 'handed back' });

export const leaseLostEvent = (timeMs: number, workerId: string): NewEvent =>
  stateEvent(timeMs, 'queued', { why: 'worker lost', workerId });

export const retryEvent = (timeMs: number, failure: StoredFailure, notBeforeMs: number): NewEvent =>
  stateEvent(timeMs, 'queued', { why: 'retry', notBeforeMs, failure: { ...failure } });

export const canceledEvent = (timeMs: number, reason: string): NewEvent => stateEvent(timeMs, 'canceled', { reason });

export const endEvent = (timeMs: number, outcome: Outcome): NewEvent =>
  outcome.state === 'done'
    ? stateEvent(timeMs, 'done', { result: outcome.result })
    : { timeMs, phase: 'failed', bytes: 0, kind: 'failure', what: { ...outcome.failure } };
