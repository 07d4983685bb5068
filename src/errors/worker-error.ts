import { type Category, ERROR_CODES, type ErrorCode } from './codes.ts';

export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** The one error of the project: a code that a program can act on and a message that says what happened to what. */
export class WorkerError extends Error {
  override readonly name: string = 'WorkerError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  get category(): Category {
    return ERROR_CODES[this.code].category;
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }
}

/** What an unknown thrown value says, for a log line or a wrapping message. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, …), undefined for anything else. */
export function systemCodeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'PATH_NOT_FOUND',
  EISDIR: 'NOT_A_REGULAR_FILE',
  EACCES: 'PATH_DENIED',
  EPERM: 'PATH_DENIED',
  ENOSPC: 'DISK_FULL',
  EROFS: 'FILESYSTEM_READ_ONLY',
  EDQUOT: 'DISK_FULL',
  ABORT_ERR: 'CANCELED',
};

/**
 * Any thrown value as ours: a WorkerError passes, system errors keep their meaning, the rest is `fallback`.
 * `doing` says what was under way (`read the image configuration`).
 */
export function toWorkerError(thrown: unknown, doing: string, fallback: ErrorCode = 'INTERNAL'): WorkerError {
  if (thrown instanceof WorkerError) return thrown;
  if (thrown instanceof Error && thrown.name === 'AbortError')
    return new WorkerError('CANCELED', `${doing}: canceled`, {}, { cause: thrown });
  if (thrown instanceof Error && thrown.name === 'TimeoutError') {
    return new WorkerError('DEADLINE_EXCEEDED', `${doing}: deadline exceeded`, {}, { cause: thrown });
  }
  const systemCode = systemCodeOf(thrown);
  const code =
    (systemCode === undefined ? undefined : SYSTEM_CODES[systemCode]) ??
    (systemCode?.startsWith('E') ? 'IO_FAILED' : fallback);
  return new WorkerError(code, `${doing}: ${messageOf(thrown)}`, {}, { cause: thrown });
}
