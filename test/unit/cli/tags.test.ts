import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const CONTEXT = { event: 'push', ref: 'refs/tags/v1.2.3', sha: 'a'.repeat(40), clock: '2026-01-02T03:04:05Z' };

async function run(args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  await using state = await temporaryDirectory();
  const file = join(state.path, 'event.json');
  const output = join(state.path, 'output');
  await writeFile(file, JSON.stringify(CONTEXT));
  await writeFile(output, '');
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const exitCode = await runCommandLine(['node', 'clipyard', ...args.map((arg) => arg.replace('EVENT', file))], {
    env: { CLIPYARD_STATE: state.path, GITHUB_OUTPUT: output, ...more },
    root: join(import.meta.dirname, '../../..'),
    signal: new AbortController().signal,
    stdout,
    stderr,
  });
  stdout.end();
  stderr.end();
  return { exitCode, stdout: await text(stdout), stderr: await text(stderr), outputs: await readFile(output, 'utf8') };
}

test('prints a tag a line', async () => {
  const { exitCode, stdout } = await run([
    'tags',
    '--context',
    'EVENT',
    '--image',
    'r.example/App',
    '--preset',
    'tags-only',
  ]);
  expect(exitCode).toBe(0);
  expect(stdout).toBe('r.example/app:1.2.3\nr.example/app:1.2\nr.example/app:latest\n');
});

test('--json has tags, version, latest, labels, annotations and images × tags', async () => {
  const { stdout } = await run([
    '--json',
    'tags',
    '--context',
    'EVENT',
    '--image',
    'b,a',
    '--rule',
    'type=sha\n# no\nx',
  ]);
  const document = JSON.parse(stdout) as Record<string, unknown>;
  expect(document).toMatchObject({
    tags: ['b:x', 'b:sha-aaaaaaa', 'a:x', 'a:sha-aaaaaaa'],
    version: 'x',
    latest: false,
    json: { b: ['x', 'sha-aaaaaaa'], a: ['x', 'sha-aaaaaaa'] },
  });
  expect(document['labels']).toMatchObject({ 'org.opencontainers.image.created': '2026-01-02T03:04:05.000Z' });
});

test('an absent version is null', async () => {
  const { stdout } = await run(['--json', 'tags', '--context', 'EVENT', '--rule', 'type=edge']);
  expect(JSON.parse(stdout)).toMatchObject({ tags: [], version: null, latest: false });
});

test('--explain says why', async () => {
  const { stdout } = await run([
    'tags',
    '--context',
    'EVENT',
    '--rule',
    'type=edge',
    '--rule',
    'type=raw,value=x',
    '--explain',
  ]);
  expect(stdout).toMatch(/^x\n\ntag +priority +rule +why\n- +700 +type=edge +no branch is named/);
});

test('--output github writes the outputs of a job', async () => {
  const { exitCode, outputs } = await run([
    'tags',
    '--context',
    'EVENT',
    '--preset',
    'tags-only',
    '--output',
    'github',
  ]);
  expect(exitCode).toBe(0);
  const mark = /^tags<<(\S+)$/m.exec(outputs)?.[1] ?? '';
  expect(outputs).toContain(`tags<<${mark}\n1.2.3\n1.2\nlatest\n${mark}\n`);
  expect(outputs).toContain(`version<<${mark}\n1.2.3\n${mark}\n`);
});

test('the GitHub environment is the context of a job', async () => {
  const env = { GITHUB_REF: 'refs/heads/dev', GITHUB_EVENT_NAME: 'push', GITHUB_SHA: 'b'.repeat(40) };
  const { stdout } = await run(['tags'], env);
  expect(stdout).toBe('dev\n');
});

test.for([
  [['tags'], 'TAG_CONTEXT_INVALID'],
  [['tags', '--context', 'EVENT', '--rule', 'type=nothing'], 'TAG_RULE_INVALID'],
  [['tags', '--context', 'EVENT', '--rule', '-x'], 'TAG_INVALID'],
  [['tags', '--context', 'EVENT', '--short-sha-length', 'x'], 'USAGE'],
  [['tags', '--context', 'EVENT', '--now', 'x'], 'USAGE'],
  [['tags', '--context', '/nowhere/at/all'], 'PATH_NOT_FOUND'],
] as const)('%j ends with %s, and without a tag', async ([args, code]) => {
  const { exitCode, stderr, stdout } = await run(['--json', ...args]);
  expect(exitCode).not.toBe(0);
  expect(stdout).toBe('');
  expect(JSON.parse(stderr)).toMatchObject({ error: { code } });
});
