export type { Cancelable } from './cancelable.ts';
export { type Category, ERROR_CODES, type ErrorCode, isErrorCode } from './codes.ts';
export { type ErrorDetails, messageOf, systemCodeOf, toWorkerError, WorkerError } from './worker-error.ts';
