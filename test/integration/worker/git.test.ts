import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_INTAKE_LIMITS, parsePolicy } from '../../../src/worker/index.ts';
import { checkOut, type GitContext, type GitSpec, resolveCommit } from '../../../src/worker/intake/git-source.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { openIntake, request, signal } from './harness.ts';

const run = promisify(execFile);
let scratch: TemporaryDirectory;
let repository: string;
let first: string;

const git = async (...args: string[]) =>
  (
    await run('git', [
      '-C',
      repository,
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@b',
      '-c',
      'protocol.file.allow=always',
      ...args,
    ])
  ).stdout.trim();

const commit = async (name: string, content: string) => {
  await writeFile(join(repository, name), content);
  await git('add', '-A');
  await git('commit', '-qm', name);
  return await git('rev-parse', 'HEAD');
};

beforeAll(async () => {
  scratch = await temporaryDirectory('git');
  repository = join(scratch.path, 'origin');
  await mkdir(join(repository, 'sub'), { recursive: true });
  await run('git', ['init', '-q', '-b', 'main', repository]);
  await writeFile(join(repository, 'sub/Dockerfile'), 'FROM scratch\nCOPY file /\n');
  await writeFile(join(repository, 'sub/file'), 'x');
  await symlink('/etc', join(repository, 'out'));
  await writeFile(join(repository, '.gitattributes'), '* filter=evil\n');
  first = await commit('run.sh', '#!/bin/sh\n');
  await git('tag', '-a', '-m', 'tag', 'v1');
  await chmod(join(repository, 'run.sh'), 0o755);
  await commit('second', '2');
  await git('branch', 'release/1');
});
afterAll(() => scratch[Symbol.asyncDispose]());

const context = (more: Partial<GitContext> = {}): GitContext => ({
  home: join(scratch.path, 'home'),
  policy: parsePolicy({ git: { protocols: ['file', 'http'] } }),
  limits: DEFAULT_INTAKE_LIMITS,
  env: process.env,
  signal,
  ...more,
});
const source = (ref?: string): GitSpec => ({
  type: 'git',
  url: `file://${repository}`,
  ...(ref !== undefined && { ref }),
});
const folder = () => join(scratch.path, randomUUID());

test('branches, tags and nothing at all name commits', async () => {
  const head = await git('rev-parse', 'main');
  expect(await resolveCommit(source(), context())).toBe(head);
  expect(await resolveCommit(source('release/1'), context())).toBe(head);
  expect(await resolveCommit(source('v1'), context())).toBe(first);
  expect(await resolveCommit(source('refs/heads/main'), context())).toBe(head);
  expect(await resolveCommit(source(first), context())).toBe(first);
  await expect(resolveCommit(source('none'), context())).rejects.toMatchObject({ code: 'GIT_FAILED' });
  await expect(resolveCommit({ ...source(), url: `file://${repository}x` }, context())).rejects.toMatchObject({
    code: 'GIT_FAILED',
  });
});

test('the files of one commit, at its time, without history', async () => {
  const directory = folder();
  const { entries } = await checkOut({ ...source('v1'), commit: first }, directory, context());
  expect(existsSync(join(directory, '.git'))).toBe(false);
  expect(existsSync(join(directory, 'second'))).toBe(false);
  expect(readFileSync(join(directory, 'sub/file'), 'utf8')).toBe('x');
  const time = Number(await git('log', '-1', '--format=%ct', first));
  for (const name of ['run.sh', 'out', 'sub']) expect(lstatSync(join(directory, name)).mtimeMs / 1000).toBe(time);
  expect(entries).toBe(6);
});

test('a branch that moves on before the build gives the commit of the submission', async () => {
  await using intake = await openIntake(folder(), { git: { protocols: ['file'] } });
  const { builds, workspaceId } = intake;
  const spec = { context: { type: 'git', url: `file://${repository}`, ref: 'main', subdirectory: 'sub' } };
  const before = await builds.submit(workspaceId, request(spec), { signal });
  expect((await builds.submit(workspaceId, request(spec), { signal })).how).toBe('shared');
  await commit('sub/file', 'moved');
  const after = await builds.submit(workspaceId, request(spec), { signal });
  expect([before.how, after.how]).toEqual(['queued', 'queued']);
  for (const content of ['x', 'moved']) {
    await using lease = await intake.take();
    await using prepared = await intake.prepare(lease.job);
    expect(readFileSync(join(prepared.image.build.contextDir, 'file'), 'utf8')).toBe(content);
    await lease.end({ state: 'done', result: {} });
  }
  for (const subdirectory of ['out', '../..', '/etc', 'none'])
    await expect(
      builds.submit(workspaceId, request({ context: { ...spec.context, subdirectory } }), { signal }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/CONTEXT_(?:PATH_OUTSIDE|NOT_FOUND)/) as string });
});

test('hooks, submodules and filters of a repository do nothing here', async () => {
  const evil = join(scratch.path, 'evil');
  await git('-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', `file://${repository}`, 'module');
  const head = await commit('third', '3');
  const directory = folder();
  await checkOut({ ...source('main'), commit: head }, directory, context());
  expect(existsSync(join(directory, 'module/third'))).toBe(false);
  expect(existsSync(evil)).toBe(false);
});

test('protocols that are not allowed are refused, and what is too large is not checked out', async () => {
  await expect(resolveCommit(source(), context({ policy: parsePolicy({}) }))).rejects.toMatchObject({
    code: 'SOURCE_DENIED',
  });
  for (const limit of [{ maxEntries: 2 }, { maxContextBytes: 3 }, { maxDepth: 1 }]) {
    const limits = { ...DEFAULT_INTAKE_LIMITS, ...limit };
    await expect(checkOut({ ...source('v1'), commit: first }, folder(), context({ limits }))).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  }
  const gone = '1'.repeat(40);
  await expect(checkOut({ ...source(gone), commit: gone }, folder(), context())).rejects.toMatchObject({
    code: 'GIT_FAILED',
  });
});

test('a login goes to the server alone: no error tells it, and a server that waits is left', async () => {
  const asked: IncomingMessage[] = [];
  const server = createServer((message, response) => {
    asked.push(message);
    if (message.url?.startsWith('/slow') === true) return;
    response.writeHead(403).end(`no ${message.headers.authorization ?? ''}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const token = `secret${randomUUID()}`;
    const refused = await resolveCommit({ type: 'git', url: `${url}/x` }, context({ token })).catch(
      (each: unknown) => each,
    );
    expect(refused).toMatchObject({ code: 'GIT_FAILED' });
    expect(JSON.stringify([String(refused), refused])).not.toContain(token);
    const sent = asked[0]?.headers.authorization?.replace('Basic ', '') ?? '';
    expect(Buffer.from(sent, 'base64').toString()).toBe(`x-access-token:${token}`);
    const limits = { ...DEFAULT_INTAKE_LIMITS, gitTimeoutMs: 300 };
    await expect(resolveCommit({ type: 'git', url: `${url}/slow` }, context({ limits }))).rejects.toMatchObject({
      code: 'GIT_FAILED',
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
