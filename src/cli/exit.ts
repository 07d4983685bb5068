import { type Category, ERROR_CODES, type WorkerError } from '../errors/index.ts';

/** Exit codes by category, after sysexits.h where it has one. */
const EXIT_CODES: Readonly<Record<Category, number>> = {
  invalid: 64,
  unimplemented: 64,
  data_loss: 65,
  not_found: 66,
  internal: 70,
  conflict: 73,
  exhausted: 75,
  unavailable: 75,
  deadline: 75,
  denied: 77,
  unauthenticated: 77,
  canceled: 130,
};

export function exitCodeOf(error: WorkerError): number {
  return EXIT_CODES[error.category];
}

/** What a person reads when a command fails: the message, then what to do about it. */
export function renderError(error: WorkerError): string {
  return `clipyard: ${error.code}: ${error.message}\n  ${ERROR_CODES[error.code].help}\n`;
}

/** What a script reads when a command fails with `--json`: one document, on stderr like every other word that is no result. */
export function errorDocument(error: WorkerError): string {
  const { category, code, details, message, retryable } = error;
  return `${JSON.stringify({ error: { code, category, retryable, message, details } })}\n`;
}
