import { type ErrorCode, messageOf, systemCodeOf, WorkerError } from '../errors/index.ts';

/** undici's and Node's codes that mean something else than "the registry cannot be reached". */
const CODES: Readonly<Record<string, ErrorCode>> = {
  UND_ERR_HEADERS_TIMEOUT: 'REGISTRY_STALLED',
  UND_ERR_BODY_TIMEOUT: 'REGISTRY_STALLED',
  UND_ERR_HEADERS_OVERFLOW: 'REGISTRY_PROTOCOL',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'BLOB_MISMATCH',
  // It speaks plain http where TLS was begun.
  ERR_SSL_WRONG_VERSION_NUMBER: 'REGISTRY_INSECURE',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'REGISTRY_INSECURE',
  ENOSPC: 'DISK_FULL',
};

/** An error of the wire (undici, sockets, TLS, a deadline) as ours. `doing` names the request without its query. */
export function wireFailure(thrown: unknown, doing: string): WorkerError {
  if (thrown instanceof WorkerError) return thrown;
  const systemCode = systemCodeOf(thrown);
  const timedOut = thrown instanceof Error && thrown.name === 'TimeoutError';
  const code = timedOut ? 'REGISTRY_STALLED' : codeOf(systemCode);
  const why = messageOf(thrown) || (systemCode ?? 'failed');
  return new WorkerError(code, `${doing}: ${why}`, systemCode === undefined ? {} : { systemCode }, { cause: thrown });
}

function codeOf(systemCode: string | undefined): ErrorCode {
  if (systemCode?.startsWith('HPE_')) return 'REGISTRY_PROTOCOL';
  return (systemCode === undefined ? undefined : CODES[systemCode]) ?? 'REGISTRY_UNAVAILABLE';
}
