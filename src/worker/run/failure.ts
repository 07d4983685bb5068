import { type Category, ERROR_CODES, type WorkerError } from '../../errors/index.ts';
import type { BuildState, Json, StoredFailure } from '../../queue/index.ts';

export type FailureClass = 'user' | 'policy' | 'limit' | 'infrastructure' | 'internal';

const CLASSES: Readonly<Record<Category, FailureClass>> = {
  invalid: 'user',
  not_found: 'user',
  conflict: 'user',
  unimplemented: 'user',
  canceled: 'user',
  denied: 'policy',
  unauthenticated: 'policy',
  exhausted: 'limit',
  unavailable: 'infrastructure',
  deadline: 'infrastructure',
  data_loss: 'internal',
  internal: 'internal',
};

/** Whose a failure is. What is throttled goes away by itself: no limit of the build's. */
export function classOf({ category, retryable }: Pick<WorkerError, 'category' | 'retryable'>): FailureClass {
  return category === 'exhausted' && retryable ? 'infrastructure' : CLASSES[category];
}

/**
 * What a scheduler is told of a failed attempt: besides code and message the class, the help, and what the error knows of
 * step, exit code, Dockerfile lines and the last lines of output. `logs` is where the whole output is.
 */
export function failureOf(
  error: WorkerError,
  { phase, logs }: { readonly phase: BuildState; readonly logs: string | undefined },
): StoredFailure {
  const { dockerfileLines, line, ...details } = error.details;
  const known = Object.entries(details).flatMap(([name, value]): [string, Json][] =>
    value === undefined ? [] : [[name, value]],
  );
  const faulty = Array.isArray(dockerfileLines) ? dockerfileLines.length : 0;
  return {
    code: error.code,
    message: error.message,
    phase,
    retryable: canRetry(error),
    details: {
      ...Object.fromEntries(known),
      class: classOf(error),
      help: ERROR_CODES[error.code].help,
      ...(typeof line === 'number' && { firstLine: line, lastLine: line + Math.max(1, faulty) - 1 }),
      ...(faulty > 0 && { dockerfileLines: dockerfileLines as readonly string[] }),
      ...(logs !== undefined && { logs }),
    },
  };
}

/** A limit that ran out is no trouble of the network's, whatever its code is for others. */
export function canRetry(error: WorkerError): boolean {
  return error.retryable && error.details['limit'] === undefined;
}
