import { expect, test } from 'vitest';
import { storeFailure } from '../../../src/objects/s3-failures.ts';

const sdkError = (name: string, httpStatusCode?: number) =>
  Object.assign(new Error('said'), { name, $metadata: { httpStatusCode } });

test.for<[name: string, status: number | undefined, code: string]>([
  ['NoSuchBucket', 404, 'STORE_BUCKET_NOT_FOUND'],
  ['NoSuchKey', 404, 'STORE_OBJECT_NOT_FOUND'],
  ['NotFound', 404, 'STORE_OBJECT_NOT_FOUND'],
  ['AccessDenied', 403, 'STORE_DENIED'],
  ['SignatureDoesNotMatch', 403, 'STORE_DENIED'],
  ['InvalidAccessKeyId', 403, 'STORE_DENIED'],
  ['403', 403, 'STORE_DENIED'],
  ['CredentialsProviderError', undefined, 'STORE_DENIED'],
  ['PreconditionFailed', 412, 'STORE_CONFLICT'],
  ['ConditionalRequestConflict', 409, 'STORE_CONFLICT'],
  ['InvalidRange', 416, 'STORE_RANGE_INVALID'],
  ['SlowDown', 503, 'STORE_UNAVAILABLE'],
  ['InternalError', 500, 'STORE_UNAVAILABLE'],
  ['BadDigest', 400, 'BLOB_MISMATCH'],
  ['MalformedXML', 400, 'STORE_PROTOCOL'],
  ['constructor', undefined, 'STORE_PROTOCOL'],
])('%s with status %s is %s', ([name, status, code]) => {
  expect(storeFailure(sdkError(name, status), 'write x')).toMatchObject({
    code,
    message: expect.stringContaining('write x') as string,
  });
});

test.for(['ECONNREFUSED', 'ENOTFOUND', 'ECONNRESET'])('%s is STORE_UNAVAILABLE', (code) => {
  expect(storeFailure(Object.assign(new Error('socket'), { code }), 'read x')).toMatchObject({
    code: 'STORE_UNAVAILABLE',
    retryable: true,
  });
});
