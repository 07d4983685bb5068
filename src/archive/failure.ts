import { type ErrorDetails, WorkerError } from '../errors/index.ts';

/** The archive is there in its length but its bytes cannot be right. */
export function corrupt(message: string, details: ErrorDetails = {}): WorkerError {
  return new WorkerError('ARCHIVE_CORRUPT', `archive is damaged: ${message}`, details);
}

/** The archive ends before something that it promises. */
export function truncated(message: string, details: ErrorDetails = {}): WorkerError {
  return new WorkerError('ARCHIVE_TRUNCATED', `archive ends too early: ${message}`, details);
}
