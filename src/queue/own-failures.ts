import type { StoredFailure } from './records.ts';
import type { BuildState } from './states.ts';

/** A dead letter: taken as often as allowed and never ended. `last` is why the last attempt did not. */
export const abandoned = (attempts: number, phase: BuildState, last: StoredFailure | undefined): StoredFailure => ({
  code: 'JOB_ABANDONED',
  message: `taken ${attempts} times without an end; the last: ${last === undefined ? 'the worker fell silent' : last.message}`,
  phase: last?.phase ?? phase,
  retryable: false,
  details: { attempts, ...(last === undefined ? {} : { last: { ...last } }) },
});

export const tooLate = (deadlineMs: number, phase: BuildState): StoredFailure => ({
  code: 'DEADLINE_EXCEEDED',
  message: `no worker ended it before its deadline, ${new Date(deadlineMs).toISOString()}`,
  phase,
  retryable: true,
  details: {},
});
