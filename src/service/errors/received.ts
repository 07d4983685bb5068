import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, isErrorCode, messageOf, WorkerError } from '../../errors/index.ts';
import { ErrorInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';
import { statusText } from '../../rpc/index.ts';
import { untrustedText } from '../../tls/index.ts';
import { DETAILS_KEY, DOMAIN, ERROR_INFO } from './status.ts';

/**
 * Statuses without our details: of grpc-js itself, of a proxy in between, or of somebody else's server. A connection that
 * breaks is any of the first four, as it depends on what was seen last of it.
 */
const FOREIGN: Readonly<Partial<Record<status, ErrorCode>>> = {
  [status.UNAVAILABLE]: 'WORKER_UNAVAILABLE',
  [status.INTERNAL]: 'WORKER_UNAVAILABLE',
  [status.CANCELLED]: 'WORKER_UNAVAILABLE',
  [status.UNKNOWN]: 'WORKER_UNAVAILABLE',
  [status.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
  [status.RESOURCE_EXHAUSTED]: 'LIMIT_EXCEEDED',
  [status.UNAUTHENTICATED]: 'WORKER_UNAUTHENTICATED',
  [status.PERMISSION_DENIED]: 'WORKER_DENIED',
};

/**
 * What a call to a worker ended with, as the error that the worker threw; `doing` names the call for all others. Of a certificate
 * that is not trusted grpc-js gives no code, only its text among others.
 */
export function receivedError(thrown: unknown, doing: string, host = ''): WorkerError {
  if (thrown instanceof WorkerError) return thrown;
  const { code, details, metadata } = serviceErrorOf(thrown);
  const info = errorInfoOf(metadata);
  if (info !== undefined && isErrorCode(info.reason))
    return new WorkerError(info.reason, details, info.metadata, { cause: thrown });
  return (
    untrustedText(details, doing, host) ??
    new WorkerError(FOREIGN[code] ?? 'REQUEST_INVALID', `${doing}: ${statusText(details)}`, {}, { cause: thrown })
  );
}

function serviceErrorOf(thrown: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> {
  if (thrown instanceof Error && 'code' in thrown && 'metadata' in thrown) return thrown as ServiceError;
  return { code: status.UNKNOWN, details: messageOf(thrown), metadata: new Metadata() };
}

function errorInfoOf(metadata: Metadata): ErrorInfo | undefined {
  const [bytes] = metadata.get(DETAILS_KEY);
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    const infos = Status.decode(bytes).details.filter(({ typeUrl }) => typeUrl === ERROR_INFO);
    return infos.map(({ value }) => ErrorInfo.decode(value)).find(({ domain }) => domain === DOMAIN);
  } catch {
    return undefined; // of somebody else's making
  }
}
