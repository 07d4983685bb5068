import { type ErrorCode, messageOf, systemCodeOf, WorkerError } from '../errors/index.ts';

/** S3's error codes (Amazon S3 API reference, "Error responses") that say more than their status. */
const NAMES: Readonly<Record<string, ErrorCode>> = {
  NoSuchBucket: 'STORE_BUCKET_NOT_FOUND',
  NoSuchKey: 'STORE_OBJECT_NOT_FOUND',
  InvalidRange: 'STORE_RANGE_INVALID',
  PreconditionFailed: 'STORE_CONFLICT',
  ConditionalRequestConflict: 'STORE_CONFLICT',
  AccessDenied: 'STORE_DENIED',
  SignatureDoesNotMatch: 'STORE_DENIED',
  InvalidAccessKeyId: 'STORE_DENIED',
  InvalidClientTokenId: 'STORE_DENIED',
  ExpiredToken: 'STORE_DENIED',
  RequestTimeTooSkewed: 'STORE_DENIED',
  CredentialsProviderError: 'STORE_DENIED',
  BadDigest: 'BLOB_MISMATCH',
  XAmzContentChecksumMismatch: 'BLOB_MISMATCH',
  XAmzContentSHA256Mismatch: 'BLOB_MISMATCH',
  SlowDown: 'STORE_UNAVAILABLE',
  TimeoutError: 'STORE_UNAVAILABLE',
};

const STATUSES: Readonly<Record<number, ErrorCode>> = {
  401: 'STORE_DENIED',
  403: 'STORE_DENIED',
  404: 'STORE_OBJECT_NOT_FOUND',
  // A gateway over a file system: the key is a folder, or has an object as folder.
  409: 'STORE_CONFLICT',
  412: 'STORE_CONFLICT',
  416: 'STORE_RANGE_INVALID',
  429: 'STORE_UNAVAILABLE',
};

/** An error of the AWS SDK as ours. `doing` names the operation and the object. */
export function storeFailure(thrown: unknown, doing: string): WorkerError {
  if (thrown instanceof WorkerError) return thrown;
  const name = thrown instanceof Error ? thrown.name : '';
  const status = statusOf(thrown);
  const code =
    (Object.hasOwn(NAMES, name) ? NAMES[name] : undefined) ??
    byStatus(status) ??
    (unreachable(thrown) ? 'STORE_UNAVAILABLE' : 'STORE_PROTOCOL');
  const said = messageOf(thrown);
  const details = {
    ...(status === undefined ? {} : { status }),
    ...(name === '' || name === 'Error' ? {} : { storeCode: name }),
  };
  return new WorkerError(
    code,
    `${doing}: ${[name, said].filter((part) => part !== '' && part !== 'Error').join(': ')}`,
    details,
    { cause: thrown },
  );
}

/** The HTTP status the SDK keeps beside the error. */
export function statusOf(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('$metadata' in thrown)) return undefined;
  const metadata = thrown.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}

function byStatus(status: number | undefined): ErrorCode | undefined {
  if (status === undefined) return undefined;
  return STATUSES[status] ?? (status >= 500 ? 'STORE_UNAVAILABLE' : undefined);
}

/** Sockets and names: `ECONNREFUSED`, `ENOTFOUND`, a connection cut in the middle. */
function unreachable(thrown: unknown): boolean {
  return systemCodeOf(thrown)?.startsWith('E') === true;
}
