import { expect, test } from 'vitest';
import { ERROR_CODES, isErrorCode, toWorkerError, WorkerError } from '../../../src/errors/index.ts';

test('an error knows category and retryability from its code', () => {
  const error = new WorkerError('REGISTRY_THROTTLED', 'PUT /v2/: 429', { delayMs: 5 });
  expect([error.category, error.retryable, error.details]).toEqual(['exhausted', true, { delayMs: 5 }]);
});

test('a WorkerError passes toWorkerError unchanged', () => {
  const error = new WorkerError('LAYER_TRUNCATED', 'short');
  expect(toWorkerError(error, 'read')).toBe(error);
});

test.for<[string, string]>([
  ['ENOENT', 'PATH_NOT_FOUND'],
  ['EISDIR', 'NOT_A_REGULAR_FILE'],
  ['EACCES', 'PATH_DENIED'],
  ['EPERM', 'PATH_DENIED'],
  ['ENOSPC', 'DISK_FULL'],
  ['EIO', 'IO_FAILED'],
])('the system error %s becomes %s', ([system, code]) => {
  const cause = Object.assign(new Error(system), { code: system });
  expect(toWorkerError(cause, 'read a file')).toMatchObject({ code, message: `read a file: ${system}`, cause });
});

test('an aborted wait is CANCELED and a timeout DEADLINE_EXCEEDED', () => {
  expect(toWorkerError(new DOMException('x', 'AbortError'), 'wait').code).toBe('CANCELED');
  expect(toWorkerError(new DOMException('x', 'TimeoutError'), 'wait').code).toBe('DEADLINE_EXCEEDED');
});

test('anything else takes the fallback', () => {
  expect(toWorkerError('text', 'do', 'NATIVE_TOOL_FAILED')).toMatchObject({
    code: 'NATIVE_TOOL_FAILED',
    message: 'do: text',
  });
});

test('every code has a sentence of help that ends', () => {
  expect(Object.entries(ERROR_CODES).filter(([, { help }]) => !/^[A-Z`].*[.]$/.test(help))).toEqual([]);
  expect(isErrorCode('LAYER_TRUNCATED')).toBe(true);
  expect(isErrorCode('toString')).toBe(false);
});
