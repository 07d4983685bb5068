import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { BuildkitClient, BuildRequest } from '../../../src/buildkit/index.ts';
import type { ErrorCode } from '../../../src/errors/index.ts';
import { serviceSetting } from '../../support/services.ts';
import { BASE, build, connect, failureOf, fresh, runStep, Workplace } from './harness.ts';

let client: BuildkitClient;
let place: Workplace;

beforeAll(async () => {
  client = await connect();
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = await Workplace.open();
});
afterEach(async () => {
  await place[Symbol.asyncDispose]();
});

async function failureWith(dockerfile: string, extra: Partial<BuildRequest> = {}) {
  const contextDir = await place.context({ Dockerfile: dockerfile });
  return await failureOf(build(client, place, { contextDir, ...extra }));
}

test('a failing RUN ends with its step, exit code, last lines and the lines of the Dockerfile', async () => {
  const script = `echo start ${fresh()}; i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; echo why >&2; exit 7`;
  const failure = await failureWith(`${BASE}# explains\n${runStep(script)}CMD ["x"]\n`);
  expect(failure.code).toBe('BUILD_STEP_FAILED');
  expect(failure.details).toMatchObject({
    exitCode: 7,
    line: 4,
    dockerfile: 'Dockerfile',
    dockerfileLines: [runStep(script).trimEnd()],
  });
  expect(failure.details['step']).toMatch(/^\[2\/2\] RUN /);
  const lines = failure.message.split('\n');
  expect(lines[0]).toMatch(/ ended with exit code 7$/);
  expect(lines).toContain('last 20 lines of the step:');
  expect(lines).toContain('  line 30');
  expect(lines).toContain('  why');
  expect(lines).not.toContain('  line 5');
  expect(lines).toContain('   3     # explains');
  expect(lines.some((line) => line.startsWith('   4 >>> RUN '))).toBe(true);
});

test('a failed step is told as an event too', async () => {
  const contextDir = await place.context({ Dockerfile: `${BASE}${runStep(`echo ${fresh()}; exit 3`)}` });
  const outcomes: string[] = [];
  const onEvent = (event: { readonly type: string; readonly outcome?: string }) => {
    if (event.type === 'step-ended') outcomes.push(event.outcome ?? '');
  };
  await failureOf(build(client, place, { contextDir }, { onEvent }));
  expect(outcomes).toContain('failed');
});

describe('codes', () => {
  test.for<[what: string, dockerfile: string, extra: Partial<BuildRequest>, code: ErrorCode, words: RegExp]>([
    [
      'an unknown instruction',
      'FROM scratch\nFOO bar\n',
      {},
      'DOCKERFILE_INVALID',
      /unknown instruction: FOO[\s\S]*2 >>> FOO bar/,
    ],
    ['an empty Dockerfile', '', {}, 'DOCKERFILE_INVALID', /cannot be empty/],
    ['an unknown target', BASE, { target: 'nowhere' }, 'DOCKERFILE_INVALID', /nowhere/],
    [
      'a COPY of what is not there',
      `${BASE}COPY missing.txt /\n`,
      {},
      'BUILD_SOURCE_FAILED',
      /"\/missing\.txt" is not there/,
    ],
    [
      'a COPY from outside the context',
      `${BASE}COPY ../../etc/passwd /\n`,
      {},
      'CONTEXT_PATH_OUTSIDE',
      /out of the build context/,
    ],
    [
      'a required secret that was not given',
      `${BASE}${runStep('true', '--mount=type=secret,id=tok,required=true')}`,
      {},
      'SECRET_NOT_FOUND',
      /tok/,
    ],
    [
      'a secret whose file is gone',
      `${BASE}${runStep('true', '--mount=type=secret,id=tok')}`,
      { secrets: { tok: { file: '/nowhere/tok' } } },
      'SECRET_NOT_FOUND',
      /\/nowhere\/tok does not exist/,
    ],
    [
      'a secret that is too large',
      `${BASE}${runStep('true', '--mount=type=secret,id=tok')}`,
      { secrets: { tok: { bytes: Buffer.alloc(500 * 1024 + 1) } } },
      'LIMIT_EXCEEDED',
      /512001 bytes/,
    ],
    [
      'a network the daemon does not allow',
      `${BASE}${runStep('true')}`,
      { network: 'host' },
      'CONFIG_INVALID',
      /network\.host/,
    ],
    ['a base image nobody serves', 'FROM 127.0.0.1:1/x:y\n', {}, 'BUILD_SOURCE_FAILED', /connection refused/],
  ])('%s', async ([, dockerfile, extra, code, words]) => {
    const failure = await failureWith(dockerfile, extra);
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(words);
  });

  test('a base image the registry does not have', async () => {
    const failure = await failureWith(`FROM ${serviceSetting('CLIPYARD_REGISTRY')}/no/such:image\n`);
    expect(failure.code).toBe('BUILD_SOURCE_FAILED');
    expect(failure.message).toContain('no/such:image');
  });
});

describe('before anything is asked of the daemon', () => {
  test('a context without a Dockerfile', async () => {
    const contextDir = await place.context({});
    expect((await failureOf(build(client, place, { contextDir }))).code).toBe('DOCKERFILE_NOT_FOUND');
  });

  test('a Dockerfile that is not where it was said to be', async () => {
    const contextDir = await place.context({ Dockerfile: BASE });
    const dockerfile = { file: join(contextDir, 'nowhere/Dockerfile') };
    expect((await failureOf(build(client, place, { contextDir, dockerfile }))).code).toBe('DOCKERFILE_NOT_FOUND');
    const folder = await failureOf(build(client, place, { contextDir, dockerfile: { file: contextDir } }));
    expect(folder).toMatchObject({ code: 'DOCKERFILE_NOT_FOUND', message: `${contextDir} is no file` });
  });

  test.for<[what: string, make: (path: string) => Promise<unknown>]>([
    ['is not there', () => Promise.resolve()],
    ['is a file', (path) => writeFile(path, '')],
  ])('a context that %s', async ([, make]) => {
    const contextDir = join(place.path, 'maybe');
    await make(contextDir);
    expect((await failureOf(build(client, place, { contextDir }))).code).toBe('CONTEXT_NOT_FOUND');
  });

  test('a named context that is not there', async () => {
    const contextDir = await place.context({ Dockerfile: BASE });
    const namedContexts = { other: { dir: join(place.path, 'nowhere') } };
    expect((await failureOf(build(client, place, { contextDir, namedContexts }))).code).toBe('CONTEXT_NOT_FOUND');
  });
});

describe('the daemon', () => {
  test('that is not there', async () => {
    const failure = await failureOf(connect({ address: `unix://${join(place.path, 'none.sock')}` }));
    expect([failure.code, failure.retryable]).toEqual(['BUILDKIT_UNAVAILABLE', true]);
  });

  test('whose address is a directory', async () => {
    await mkdir(join(place.path, 'dir.sock'));
    const failure = await failureOf(connect({ address: `unix://${join(place.path, 'dir.sock')}` }));
    expect(failure.code).toBe('BUILDKIT_UNAVAILABLE');
  });

  test('that is there says its version', async () => {
    expect((await client.info({ signal: AbortSignal.timeout(10_000) })).version).not.toBe('');
  });
});
