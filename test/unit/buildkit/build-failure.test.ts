import { Metadata } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { buildFailureOf, type FailedStep } from '../../../src/buildkit/build-failure.ts';
import { failureOfCall } from '../../../src/buildkit/call-failure.ts';
import { LogTail } from '../../../src/buildkit/progress/log-tail.ts';
import type { ErrorCode } from '../../../src/errors/index.ts';
import { Status } from '../../../src/gen/google/rpc/status.ts';

const DOCKERFILE = 'FROM scratch\n# a comment\nCOPY a /a\nRUN one && \\\n    two\nCMD x\n';

interface Detail {
  readonly type: string;
  readonly value: unknown;
}

const source = (first: number, last: number, text = DOCKERFILE): Detail => ({
  type: 'errdefs.Source+json',
  value: {
    info: { filename: 'Dockerfile', data: Buffer.from(text).toString('base64') },
    ranges: [{ start: { line: first }, end: { line: last } }],
  },
});
const exit = (code: number): Detail => ({ type: 'gatewayapi.ExitMessage+json', value: { Code: code } });
const vertex: Detail = { type: 'errdefs.Vertex+json', value: { digest: 'sha256:step' } };
const stack: Detail = { type: 'stack.Stack+json', value: { frames: [], cmdline: ['buildkitd'] } };

function tailOf(lines: readonly string[]): LogTail {
  const tail = new LogTail(50);
  for (const line of lines) tail.push('stdout', line);
  return tail;
}

function failed(text: string, details: readonly Detail[] = [], code = 2, step?: FailedStep) {
  const metadata = new Metadata();
  const encoded = details.map(({ type, value }) => ({
    typeUrl: `github.com/moby/buildkit/${type}`,
    value: Buffer.from(JSON.stringify(value)),
  }));
  metadata.set(
    'grpc-status-details-bin',
    Buffer.from(Status.encode({ code, message: text, details: encoded }).finish()),
  );
  const thrown = Object.assign(new Error(`${code} ${text}`), { code, details: text, metadata });
  return buildFailureOf(failureOfCall(thrown, 'build'), (digest) => (digest === 'sha256:step' ? step : undefined));
}

test('a failing step tells name, exit code, its last lines and the lines of the Dockerfile', () => {
  const step = { name: '[2/2] RUN one && two', tail: tailOf(['first', 'boom']) };
  const error = failed(
    'process "x" did not complete successfully: exit code: 7',
    [stack, source(4, 5), vertex, exit(7)],
    2,
    step,
  );
  expect(error.code).toBe('BUILD_STEP_FAILED');
  expect(error.details).toEqual({
    step: '[2/2] RUN one && two',
    logLines: ['first', 'boom'],
    exitCode: 7,
    dockerfile: 'Dockerfile',
    line: 4,
    dockerfileLines: ['RUN one && \\', '    two'],
  });
  expect(error.message).toBe(
    [
      '[2/2] RUN one && two ended with exit code 7',
      'output of the step:',
      '  first',
      '  boom',
      'Dockerfile:4',
      '   2     # a comment',
      '   3     COPY a /a',
      '   4 >>> RUN one && \\',
      '   5 >>>     two',
      '   6     CMD x',
    ].join('\n'),
  );
});

test('a long output is cut to its end', () => {
  const lastLines = Array.from({ length: 30 }, (_, at) => `line ${at}`);
  const { message } = failed('exit code: 1', [vertex, exit(1)], 2, { name: 'RUN x', tail: tailOf(lastLines) });
  expect(message).toContain('last 20 lines of the step:\n  line 10\n');
  expect(message).not.toContain('line 9\n');
});

describe('codes', () => {
  const missing = 'failed to compute cache key: failed to calculate checksum of ref a::b: "/x": not found';
  const outside = 'FROM scratch\nCOPY ../x /x\n';
  test.for<[text: string, details: readonly Detail[], rpcCode: number, code: ErrorCode]>([
    ['dockerfile parse error on line 2: unknown instruction: FOO', [source(2, 2)], 2, 'DOCKERFILE_INVALID'],
    ['the Dockerfile cannot be empty', [], 2, 'DOCKERFILE_INVALID'],
    ['target stage "x" could not be found', [], 2, 'DOCKERFILE_INVALID'],
    ['failed to read dockerfile: open Dockerfile: no such file or directory', [], 2, 'DOCKERFILE_NOT_FOUND'],
    [missing, [source(3, 3)], 2, 'BUILD_SOURCE_FAILED'],
    [missing, [source(2, 2, outside)], 2, 'CONTEXT_PATH_OUTSIDE'],
    [missing, [source(2, 2, 'FROM a\nCOPY x..y /x\n')], 2, 'BUILD_SOURCE_FAILED'],
    ['no access allowed to dir "context"', [], 5, 'CONTEXT_NOT_FOUND'],
    ['a: failed to resolve source metadata for a: not found', [source(1, 1)], 2, 'BUILD_SOURCE_FAILED'],
    ['secret tok: not found', [source(4, 4)], 2, 'SECRET_NOT_FOUND'],
    ['granting entitlement network.host is not allowed by build daemon configuration', [], 2, 'CONFIG_INVALID'],
    ['no active session for x: context deadline exceeded', [], 4, 'BUILDKIT_SESSION_LOST'],
    [
      'failed to read dockerfile: failed to prepare  as ykc: failed to rename: rename /s/new-29 /s/1122: file exists',
      [],
      2,
      'BUILDKIT_INTERRUPTED',
    ],
    ['Connection dropped', [], 14, 'BUILDKIT_UNAVAILABLE'],
    ['context canceled', [], 1, 'CANCELED'],
    ['database is closed', [stack], 2, 'BUILD_FAILED'],
  ])('%j is classified (%#)', ([text, details, rpcCode, code]) => {
    expect(failed(text, details, rpcCode).code).toBe(code);
  });
});

test('details that are no JSON or no Status do not hide the failure', () => {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
  const thrown = Object.assign(new Error('2 x'), { code: 2, details: 'exploded', metadata });
  expect(buildFailureOf(failureOfCall(thrown, 'build'), () => undefined)).toMatchObject({
    code: 'BUILD_FAILED',
    message: 'exploded',
  });
});
