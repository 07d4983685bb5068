import { type Category, ERROR_CODES, isErrorCode } from '../../errors/index.ts';
import { Failure } from '../../gen/clipyard/v1/build.ts';
import type { Json, StoredFailure } from '../../queue/index.ts';
import { given } from './fields.ts';
import { stateFromProto, stateToProto } from './state.ts';

/** Whose a failure is, as a scheduler is told. */
const CLASSES: Readonly<Record<Category, string>> = {
  invalid: 'user',
  not_found: 'user',
  conflict: 'user',
  unimplemented: 'user',
  denied: 'policy',
  unauthenticated: 'policy',
  exhausted: 'limit',
  unavailable: 'infrastructure',
  deadline: 'infrastructure',
  canceled: 'user',
  data_loss: 'internal',
  internal: 'internal',
};

/** Details that have a field of their own in a Failure. */
const NAMED = ['step', 'exitCode', 'firstLine', 'lastLine', 'logLines'];

export function failureToProto({ code, details, message, phase, retryable }: StoredFailure): Failure {
  const entry = isErrorCode(code) ? ERROR_CODES[code] : undefined;
  const { exitCode, firstLine, lastLine, logLines, step } = details;
  return {
    code,
    // What is throttled goes away by itself: no limit of the user's.
    class: entry?.category === 'exhausted' && retryable ? 'infrastructure' : CLASSES[entry?.category ?? 'internal'],
    message,
    help: entry?.help ?? '',
    retryable,
    phase: stateToProto(phase),
    step: typeof step === 'string' ? step : '',
    exitCode: typeof exitCode === 'number' ? Math.trunc(exitCode) : undefined,
    firstLine: lineOf(firstLine),
    lastLine: lineOf(lastLine),
    logLines: Array.isArray(logLines) ? logLines.filter((line) => typeof line === 'string') : [],
    details: Object.fromEntries(
      Object.entries(details)
        .filter(([name]) => !NAMED.includes(name))
        .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    ),
  };
}

export function failureFromProto(failure: Failure): StoredFailure {
  const details: Record<string, Json> = { ...failure.details };
  const step = given(failure.step);
  if (step !== undefined) details['step'] = step;
  if (failure.exitCode !== undefined) details['exitCode'] = failure.exitCode;
  if (failure.firstLine > 0) details['firstLine'] = failure.firstLine;
  if (failure.lastLine > 0) details['lastLine'] = failure.lastLine;
  if (failure.logLines.length > 0) details['logLines'] = failure.logLines;
  const { code, message, retryable } = failure;
  return { code, message, retryable, phase: stateFromProto(failure.phase, 'failure.phase'), details };
}

function lineOf(value: Json | undefined): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
