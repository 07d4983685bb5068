import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { NewEvent, StoredFailure } from '../../../src/queue/index.ts';
import { commandError, commandJson, runCommand, startCommand } from '../../support/command-line.ts';
import { worker } from '../../support/queue/submissions.ts';
import { grant, startService, type TestServer } from '../../support/service/test-server.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const about = { timeMs: 1_700_000_000_000, phase: 'building', bytes: 0 } as const;
const TOLD: readonly NewEvent[] = [
  { ...about, kind: 'state', what: { state: 'building' } },
  { ...about, kind: 'step', what: { id: '1', name: '[1/1] RUN make', cached: false, startedAtMs: about.timeMs } },
  { ...about, kind: 'log', what: { stepId: '1', stream: 1, data: 'hello from the step\n' } },
  {
    ...about,
    kind: 'step',
    what: {
      id: '1',
      name: '[1/1] RUN make',
      cached: false,
      startedAtMs: about.timeMs,
      completedAtMs: about.timeMs + 5,
    },
  },
  { ...about, kind: 'detail', what: { event: 'published', what: 'tag', name: 'a-web' } },
];

/** Plays the worker for the next build there is. */
async function runNext({ queue }: TestServer, end: { failure?: StoredFailure }): Promise<void> {
  for (;;) {
    await using lease = await queue.take(worker('w1'), { signal });
    if (lease === undefined) {
      await queue.waitForWork(200, { signal });
      continue;
    }
    await lease.tell(TOLD);
    await lease.end(
      end.failure === undefined
        ? { state: 'done', result: { imageTag: 'a-web' } }
        : { state: 'failed', failure: end.failure },
    );
    return;
  }
}

test('submit prints the id, builds lists it, watch draws it and ends with its result', async () => {
  await using server = await startService();
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'Dockerfile'), 'FROM scratch\n');
  const env = { CLIPYARD_SERVER: server.address, CLIPYARD_WORKSPACE: 'a' };
  const args = [
    '--context',
    directory.path,
    '--image-id',
    'web',
    '--build-arg',
    'A=b',
    '--priority',
    '7',
    '--chunk',
    '64KiB',
  ];
  const submitted = await commandJson<{ buildId: string; how: string; state: string }>(['submit', ...args], env);
  expect(submitted).toMatchObject({ how: 'queued', state: 'queued', workspaceId: 'a', priority: 7 });
  const { builds } = await commandJson<{ builds: readonly object[] }>(['builds', '--state', 'queued'], env);
  expect(builds).toMatchObject([{ buildId: submitted.buildId, imageId: 'web' }]);
  const watching = startCommand(['watch', submitted.buildId, '--progress', 'plain'], env);
  await runNext(server, {});
  const { exitCode, stderr, stdout } = await watching.result;
  expect([exitCode, stdout]).toEqual([0, `${submitted.buildId} done\n`]);
  expect(stderr).toContain('[1/1] RUN make');
  expect(stderr).toContain('hello from the step');
  expect(stderr).toContain('published tag a-web');
  const json = await runCommand(['--json', 'watch', submitted.buildId, '--after', '2'], env);
  const lines = json.stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { cursor: number; event: string });
  expect(lines[0]).toMatchObject({ cursor: 3, event: 'step', buildId: submitted.buildId });
  expect(JSON.parse(json.stdout)).toMatchObject({ state: 'done', result: { imageTag: 'a-web' } });
});

test('submit --wait ends with the code of the failure, over a connection that breaks', async () => {
  await using server = await startService();
  await using proxy = await TcpProxy.start(server.address);
  const env = { CLIPYARD_SERVER: proxy.address };
  const failure: StoredFailure = {
    code: 'SOURCE_DENIED',
    message: 'the base image is not allowed',
    phase: 'preparing',
    retryable: false,
    details: { reference: 'x:1' },
  };
  const waiting = startCommand(
    ['--json', 'submit', '--dockerfile-inline', 'FROM x:1', '--image-id', 'web', '--wait'],
    env,
  );
  await waiting.sawLine(/"event":"state"/);
  proxy.cut();
  await runNext(server, { failure });
  const { exitCode, stderr } = await waiting.result;
  expect(exitCode).toBe(77);
  const documents = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { cursor?: number; error?: object });
  expect(documents.at(-1)?.error).toMatchObject({ code: 'SOURCE_DENIED', details: { reference: 'x:1' } });
  const cursors = documents.flatMap(({ cursor }) => cursor ?? []);
  expect(cursors).toEqual(cursors.map((_, at) => at + 1));
});

test('cancel ends a build, and watch then ends with 130', async () => {
  await using server = await startService({ tokens: [grant('of-a', 'a')] });
  const env = { CLIPYARD_SERVER: server.address, CLIPYARD_TOKEN: 'of-a', CLIPYARD_WORKSPACE: '' };
  const git = ['submit', '--git', 'https://git.example/app.git#v1:sub/dir', '--image-id', 'web'];
  const { buildId } = await commandJson<{ buildId: string }>(git, env);
  expect(await commandJson(['cancel', buildId, '--reason', 'enough'], env)).toMatchObject({ state: 'canceled' });
  expect(await commandError(['watch', buildId], env)).toMatchObject({ code: 'BUILD_CANCELED', exitCode: 130 });
  expect(await commandError(['watch', 'none'], env)).toMatchObject({ code: 'BUILD_NOT_FOUND', exitCode: 66 });
  expect(await commandError(['drain'], env)).toMatchObject({ code: 'WORKER_DENIED', exitCode: 77 });
  expect(await commandError(['builds'], { ...env, CLIPYARD_TOKEN: 'guess' })).toMatchObject({
    code: 'WORKER_UNAUTHENTICATED',
    exitCode: 77,
  });
});

test('drain tells how many builds were handed back; wrong flags and no worker are said', async () => {
  await using server = await startService();
  const env = { CLIPYARD_SERVER: server.address };
  expect(await commandJson(['drain', '--budget', '1m'], env)).toEqual({ finished: 2, handedBack: 1 });
  expect(await commandError(['submit', '--dockerfile-inline', 'FROM scratch'], env)).toMatchObject({
    code: 'WORKER_DRAINING',
    exitCode: 75,
  });
  const both = ['submit', '--dockerfile-inline', 'FROM x', '--git', 'https://git.example/a.git'];
  expect(await commandError(both, env)).toMatchObject({ code: 'USAGE' });
  expect(await commandError(['builds', '--state', 'lost'], env)).toMatchObject({ code: 'USAGE' });
  for (const command of [['builds'], ['watch', 'none']])
    expect(await commandError([...command, '--server', '127.0.0.1:1'], env)).toMatchObject({
      code: 'WORKER_UNAVAILABLE',
      exitCode: 75,
    });
});
