import { type LimitName, type Limits, limitNameOf, limitVariable } from '../config/index.ts';
import { type ErrorDetails, WorkerError } from '../errors/index.ts';

/** The layer ends in the middle of an entry or of its compressed stream. */
export function truncated(what: string): WorkerError {
  return new WorkerError('LAYER_TRUNCATED', `the layer is cut short: ${what}`);
}

/** The layer is no valid tar or compressed stream. */
export function corrupt(what: string, options?: ErrorOptions): WorkerError {
  return new WorkerError('LAYER_CORRUPT', `the layer is damaged: ${what}`, {}, options);
}

/** An entry has a name that no file tree can hold. */
export function pathInvalid(what: string): WorkerError {
  return new WorkerError('LAYER_PATH_INVALID', `an entry cannot be placed: ${what}`);
}

/** A fixed limit was passed. */
export function limitExceeded(what: string, limit: number): WorkerError {
  return new WorkerError('LIMIT_EXCEEDED', `${what} exceeds the limit of ${limit}`, { limit: String(limit) });
}

/** A limit was passed that can be set. */
export function beyond(what: string, limits: Limits, key: keyof Limits): WorkerError {
  const name: LimitName = limitNameOf(key);
  const limit = limits[key];
  const hint = `raise it with --limit ${name}=VALUE or ${limitVariable(name)}`;
  return new WorkerError('LIMIT_EXCEEDED', `${what} exceeds the limit ${name}=${limit}; ${hint}`, {
    name,
    limit: String(limit),
  });
}

/** Says where in the layer an error of its own belongs; any other error passes as it is. */
export function atPlace(thrown: unknown, place: string): unknown {
  if (!(thrown instanceof WorkerError) || !PLACED.has(thrown.code)) return thrown;
  const details: ErrorDetails = thrown.details;
  return new WorkerError(thrown.code, `${place}: ${thrown.message}`, details, { cause: thrown.cause });
}

const PLACED: ReadonlySet<string> = new Set(['LAYER_CORRUPT', 'LAYER_PATH_INVALID']);
