import { type ServiceError, status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { ERROR_CODES, type ErrorCode, WorkerError } from '../../../src/errors/index.ts';
import { ErrorInfo } from '../../../src/gen/google/rpc/error_details.ts';
import { Status } from '../../../src/gen/google/rpc/status.ts';
import { receivedError } from '../../../src/service/errors/received.ts';
import { callStatusOf, DETAILS_KEY } from '../../../src/service/errors/status.ts';

const CODES = Object.keys(ERROR_CODES) as ErrorCode[];

/** What grpc-js gives a client of a status. */
function asReceived(thrown: unknown): ServiceError {
  const { status: sent } = callStatusOf(thrown);
  return Object.assign(new Error(`${sent.code}: ${sent.details}`), sent);
}

test('every code comes back as itself, with its details', () => {
  for (const code of CODES) {
    const error = receivedError(asReceived(new WorkerError(code, 'what happened', { name: 'x', count: 3 })), 'call');
    expect(error.code).toBe(code);
    if (code === 'INTERNAL' || code === 'IO_FAILED') continue;
    expect(error).toMatchObject({ message: 'what happened', details: { name: 'x', count: '3' } });
  }
});

test('the details are a google.rpc.Status with one ErrorInfo', () => {
  const { status: sent } = callStatusOf(new WorkerError('BUILD_NOT_FOUND', 'no build b1', { buildId: 'b1' }));
  expect(sent.code).toBe(status.NOT_FOUND);
  const [bytes] = sent.metadata.get(DETAILS_KEY);
  const read = Status.decode(bytes as Buffer);
  expect(read).toMatchObject({ code: status.NOT_FOUND, message: 'no build b1' });
  expect(read.details.map(({ typeUrl }) => typeUrl)).toEqual(['type.googleapis.com/google.rpc.ErrorInfo']);
  expect(ErrorInfo.decode(read.details[0]?.value ?? Buffer.of())).toEqual({
    reason: 'BUILD_NOT_FOUND',
    domain: 'clipyard',
    metadata: { buildId: 'b1' },
  });
});

test('what is no error of ours is INTERNAL and says nothing of the inside', () => {
  const { error, status: sent } = callStatusOf(new TypeError('password is swordfish'));
  expect(sent.code).toBe(status.INTERNAL);
  expect(JSON.stringify(asReceived(new TypeError('password is swordfish')))).not.toContain('swordfish');
  expect(sent.details).not.toContain('swordfish');
  expect(error.message).toContain('swordfish'); // for the log
});

test.for<[thrown: string, code: ErrorCode, status: status]>([
  ['AbortError', 'CANCELED', status.CANCELLED],
  ['TimeoutError', 'DEADLINE_EXCEEDED', status.DEADLINE_EXCEEDED],
])('a call that ended by %s is %s', ([name, code, expected]) => {
  const { error, status: sent } = callStatusOf(new DOMException('over', name));
  expect([error.code, sent.code]).toEqual([code, expected]);
});

test('a long message and many details fit into the trailers', () => {
  const details = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`name${n}`, 'v'.repeat(100)]));
  const { status: sent } = callStatusOf(new WorkerError('GIT_FAILED', 'ü'.repeat(5000), details));
  const [bytes] = sent.metadata.get(DETAILS_KEY);
  expect((bytes as Buffer).length).toBeLessThan(4096);
  expect(sent.details).toMatch(/^ü+…$/);
});

test.for<[code: status, ours: ErrorCode]>([
  [status.UNAVAILABLE, 'WORKER_UNAVAILABLE'],
  [status.CANCELLED, 'WORKER_UNAVAILABLE'],
  [status.INTERNAL, 'WORKER_UNAVAILABLE'],
  [status.RESOURCE_EXHAUSTED, 'LIMIT_EXCEEDED'],
  [status.UNIMPLEMENTED, 'REQUEST_INVALID'],
])('status %s without our details is %s', ([code, ours]) => {
  const foreign = { ...callStatusOf(new Error('x')).status, code };
  foreign.metadata.remove(DETAILS_KEY);
  expect(receivedError(Object.assign(new Error('x'), foreign), 'ask').code).toBe(ours);
});
