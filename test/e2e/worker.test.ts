import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { BuildResult } from '../../src/jobs/index.ts';
import { createAuthority } from '../support/certificates.ts';
import { sqlitePlace, startClipyardWorker } from '../support/clipyard-worker.ts';
import { buildJson, commandError, commandJson, runCommand, startCommand } from '../support/command-line.ts';
import { redisPlace } from '../support/queue/redis-place.ts';
import { grant } from '../support/service/test-server.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

interface BuildDocument {
  readonly buildId: string;
  readonly jobId: string;
  readonly how: string;
  readonly state: string;
  readonly result: BuildResult;
}

const run = promisify(execFile);
const QUEUES = ['sqlite', 'redis'] as const;
const placeOf = (kind: (typeof QUEUES)[number], directory: string) =>
  kind === 'sqlite' ? sqlitePlace(directory) : redisPlace();

/** A context of its own with one step. */
async function stepContext(directory: string, script: string): Promise<string> {
  const context = await smallContext(directory);
  const step = JSON.stringify(['/bin/busybox', 'sh', '-c', script]);
  await writeFile(join(context, 'Dockerfile'), `FROM scratch\nCOPY busybox stamp /bin/\nRUN ${step}\n`);
  return context;
}

/** Whether a process of the machine has this among its arguments. */
async function isRunning(mark: string): Promise<boolean> {
  const { stdout } = await run('ps', ['-eo', 'args']);
  return stdout.split('\n').some((line) => line.includes(mark) && !line.includes('ps -eo'));
}

describe.for(QUEUES)('a worker over %s', (kind) => {
  test('builds what is submitted, and answers the same submission from what it published', async () => {
    await using scratch = await temporaryDirectory('worker');
    await using place = placeOf(kind, scratch.path);
    await using worker = await startClipyardWorker({ queue: place.address, stateDir: join(scratch.path, 'state') });
    const context = await smallContext(join(scratch.path, 'context'), 'from the worker');
    const imageId = `built_${kind}_${process.pid}`;
    const env = { CLIPYARD_SERVER: worker.address, CLIPYARD_WORKSPACE: 'worker' };
    const args = ['submit', '--context', context, '--image-id', imageId];

    const both = await Promise.all([commandJson<BuildDocument>(args, env), commandJson<BuildDocument>(args, env)]);
    expect(both.map(({ how }) => how).toSorted()).toEqual(['queued', 'shared']);
    expect(both[0].jobId).toBe(both[1].jobId);
    const [first] = both;
    const watched = await runCommand(['--json', 'watch', first.buildId], env);
    expect(watched.exitCode).toBe(0);
    const cursors = watched.stderr
      .split('\n')
      .filter((line) => line.startsWith('{"event"'))
      .map((line) => (JSON.parse(line) as { cursor: number }).cursor);
    expect(cursors).toEqual(cursors.map((_, at) => at + 1));
    const { result } = JSON.parse(watched.stdout) as BuildDocument;

    const shown = await runCommand(['run', `worker/${imageId}`, '--', '/bin/cat', '/data/copy']);
    expect(shown).toMatchObject({ exitCode: 0, stdout: 'from the worker' });

    const again = await commandJson<BuildDocument>([...args, '--wait'], env);
    expect(again).toMatchObject({ how: 'published', state: 'done', result: { manifestDigest: result.manifestDigest } });
    const { builds } = await commandJson<{ builds: readonly BuildDocument[] }>(['builds', '--image-id', imageId], env);
    expect(builds.map(({ state }) => state)).toEqual(['done', 'done']);

    // The legacy path: the same context, built and pushed by this process.
    const legacy = await buildJson(['--context', context, '--workspace', 'worker', '--image-id', `${imageId}_legacy`]);
    expect(legacy.manifestDigest).toBe(result.manifestDigest);
    const last = await commandJson<BuildDocument>([...args, '--max-age', '0s', '--wait'], env);
    expect(last).toMatchObject({ how: 'queued', result: { manifestDigest: result.manifestDigest, generation: 1 } });
  });

  test('a cancel ends the step, and a drain by signal ends the worker', async () => {
    await using scratch = await temporaryDirectory('worker');
    await using place = placeOf(kind, scratch.path);
    await using worker = await startClipyardWorker({ queue: place.address, stateDir: join(scratch.path, 'state') });
    const env = { CLIPYARD_SERVER: worker.address, CLIPYARD_WORKSPACE: 'worker' };
    const mark = `mark-${kind}-${process.pid}`;
    const script = `echo begun ${mark}; while true; do /bin/busybox sleep 0.2; done`;
    const context = await stepContext(join(scratch.path, 'endless'), script);
    const endless = ['submit', '--context', context, '--image-id', `endless_${kind}_${process.pid}`];
    const submitted = await commandJson<BuildDocument>(endless, env);
    const watching = startCommand(['watch', submitted.buildId, '--progress', 'plain'], env);
    await watching.sawLine(new RegExp(`begun ${mark}$`));
    expect(await isRunning(mark)).toBe(true);
    await commandJson(['cancel', submitted.buildId, '--reason', 'enough'], env);
    expect((await watching.result).exitCode).toBe(130);
    while (await isRunning(mark)) await sleep(20);

    // A build that is under way when the worker is told to go is finished.
    const short = await stepContext(join(scratch.path, 'short'), 'echo going; /bin/busybox sleep 2');
    const imageId = `short_${kind}_${process.pid}`;
    const waiting = startCommand(
      ['submit', '--context', short, '--image-id', imageId, '--wait', '--progress', 'plain'],
      env,
    );
    await waiting.sawLine(/going$/);
    worker.command.child.kill('SIGTERM');
    const ended = await worker.command.result;
    expect(ended.exitCode, ended.stderr.slice(-2000)).toBe(0);
    const { exitCode, stderr } = await waiting.result;
    expect(exitCode, stderr.slice(-2000)).toBe(0);
  });
});

test('two workspaces at one worker over TLS do not see each other', async () => {
  await using scratch = await temporaryDirectory('worker');
  const authority = await createAuthority(scratch.path);
  const pair = await authority.issue('server', 'IP:127.0.0.1');
  const at = (name: string) => join(scratch.path, name);
  await writeFile(at('cert.pem'), pair.cert);
  await writeFile(at('key.pem'), pair.key);
  const tokens = [grant('of-a', 'team-a'), grant('of-b', 'team-b'), grant('of-ops', 'ops', { operator: true })];
  await writeFile(at('tokens.json'), JSON.stringify(tokens));
  const config = { tls: { cert: at('cert.pem'), key: at('key.pem') }, tokensFile: at('tokens.json') };
  await writeFile(at('worker.json'), JSON.stringify(config));
  const spans: string[] = [];
  const collector = createServer((request, response) => {
    void json(request).then((body) => {
      const { resourceSpans } = body as { resourceSpans: { scopeSpans: { spans: { name: string }[] }[] }[] };
      spans.push(...(resourceSpans[0]?.scopeSpans[0]?.spans ?? []).map(({ name }) => name));
      response.end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  await using worker = await startClipyardWorker({
    queue: sqlitePlace(scratch.path).address,
    stateDir: at('state'),
    args: ['--config', at('worker.json')],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}` },
  });
  expect(worker.address).toMatch(/^https:/);
  const as = (token: string) => ({
    CLIPYARD_SERVER: worker.address,
    CLIPYARD_CA_FILE: authority.caFile,
    CLIPYARD_TOKEN: token,
    CLIPYARD_WORKSPACE: '',
  });
  const imageId = `tls_${process.pid}`;
  const context = await smallContext(at('context'));
  const args = ['submit', '--context', context, '--image-id', imageId, '--wait'];
  const built = await commandJson<BuildDocument>(args, as('of-a'));
  expect(built.result.storageRef).toBe(`${serviceSetting('CLIPYARD_REGISTRY')}/clipyard:team-a-${imageId}`);
  const untold = { ...as('of-a'), CLIPYARD_CA_FILE: '' };
  expect(await commandError(['builds'], untold)).toMatchObject({ code: 'TLS_UNTRUSTED' });
  expect(await commandJson(['builds', '--ca-file', authority.caFile], untold)).toMatchObject({ builds: [{}] });
  expect(await commandError(['watch', built.buildId], as('of-b'))).toMatchObject({ code: 'BUILD_NOT_FOUND' });
  expect(await commandError(['cancel', built.buildId], as('of-b'))).toMatchObject({ code: 'BUILD_NOT_FOUND' });
  expect(await commandJson(['builds'], as('of-b'))).toMatchObject({ builds: [] });
  expect(await commandError(['builds', '--workspace', 'team-a'], as('of-b'))).toMatchObject({ code: 'WORKER_DENIED' });
  expect(await commandError(['builds'], as('nobody'))).toMatchObject({ code: 'WORKER_UNAUTHENTICATED' });
  // What one has published is no answer to the other.
  expect((await commandJson<BuildDocument>(args, as('of-b'))).how).toBe('queued');
  expect((await commandJson<BuildDocument>(args, as('of-a'))).how).toBe('published');

  expect(await commandError(['drain'], as('of-a'))).toMatchObject({ code: 'WORKER_DENIED' });
  expect(await commandJson(['drain'], as('of-ops'))).toEqual({ finished: 0, handedBack: 0 });
  if (worker.command.child.exitCode === null) await once(worker.command.child, 'exit');
  expect(worker.command.child.exitCode).toBe(0);
  expect(spans.filter((name) => name === 'build')).toHaveLength(2);
  expect(spans).toEqual(expect.arrayContaining(['preparing', 'building', 'pushing', 'publishing']));
  collector.close();
});
