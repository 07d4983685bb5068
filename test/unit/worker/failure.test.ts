import { expect, test } from 'vitest';
import { type ErrorCode, WorkerError } from '../../../src/errors/index.ts';
import { classOf, type FailureClass, failureOf } from '../../../src/worker/run/failure.ts';

test.for<[code: ErrorCode, whose: FailureClass]>([
  ['DOCKERFILE_INVALID', 'user'],
  ['BUILD_SOURCE_FAILED', 'user'],
  ['FENCE_LOST', 'user'],
  ['FRONTEND_DENIED', 'policy'],
  ['REGISTRY_UNAUTHENTICATED', 'policy'],
  ['LIMIT_EXCEEDED', 'limit'],
  ['REGISTRY_THROTTLED', 'infrastructure'],
  ['BUILDKIT_UNAVAILABLE', 'infrastructure'],
  ['DEADLINE_EXCEEDED', 'infrastructure'],
  ['BUILD_FAILED', 'internal'],
  ['BLOB_MISMATCH', 'internal'],
])('%s is of class %s', ([code, whose]) => {
  expect(classOf(new WorkerError(code, 'x'))).toBe(whose);
});

test('a failed step has its lines of the Dockerfile, its exit code and where its output is', () => {
  const error = new WorkerError('BUILD_STEP_FAILED', 'RUN make ended with exit code 2', {
    step: '[2/2] RUN make',
    exitCode: 2,
    line: 4,
    dockerfileLines: ['RUN make \\', '  all'],
    logLines: ['no rule'],
    nothing: undefined,
  });
  expect(failureOf(error, { phase: 'building', logs: 's3://b/logs/index.json' })).toEqual({
    code: 'BUILD_STEP_FAILED',
    message: 'RUN make ended with exit code 2',
    phase: 'building',
    retryable: false,
    details: {
      step: '[2/2] RUN make',
      exitCode: 2,
      firstLine: 4,
      lastLine: 5,
      dockerfileLines: ['RUN make \\', '  all'],
      logLines: ['no rule'],
      class: 'user',
      help: expect.stringContaining('the message shows the step') as string,
      logs: 's3://b/logs/index.json',
    },
  });
});
