import { expect, test } from 'vitest';
import { runInProcess } from '../../support/in-process.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

async function run(...args: readonly string[]) {
  await using state = await temporaryDirectory();
  return await runInProcess(args, { CLIPYARD_STATE: state.path });
}

test.for([
  [['--json', 'frobnicate'], "unknown command 'frobnicate'"],
  [['build', '--bogus', '--json'], "unknown option '--bogus'"],
  [['--json', 'index', '--output', 'x'], "required option '--from <source>' not specified"],
  [['--json'], 'no command is named'],
  [['cache', 'layers', 'gc', '--json'], "required option '--max-size <size>' not specified"],
  [['stat', '/mnt', '--fetch-memory', '1MB', '--json'], "unknown option '--fetch-memory'"],
] as const)('with --json a wrong command line is one document: %j', async ([args, message]) => {
  const { exitCode, stderr, stdout } = await run(...args);
  expect(exitCode).toBe(64);
  expect(stdout).toBe('');
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'USAGE', message } });
});

test('without --json a wrong command line is told in words', async () => {
  const { exitCode, stderr } = await run('frobnicate');
  expect(exitCode).toBe(64);
  expect(stderr).toBe("error: unknown command 'frobnicate'\n(see --help)\n");
});

test('--json behind -- belongs to the command in the container', async () => {
  const { stderr } = await run('run', '--platform', 'linux/amd64', '/nonexistent/x', '--', 'ls', '--json');
  expect(stderr).toMatch(/^clipyard: /);
});

test('an archive that is a folder is USAGE and says so', async () => {
  const { exitCode, stderr } = await run('--json', 'inspect', import.meta.dirname);
  expect(exitCode).toBe(64);
  expect(stderr).toContain('is a folder; name an archive file');
});

test.for([
  ['explain', 'FOLDER'],
  ['profile', 'publish', 'team/web', 'FOLDER'],
  ['tags', '--context', 'FOLDER', '--image', 'a'],
  ['matrix', 'tags', '--config', 'FOLDER', '--context', 'FOLDER'],
  ['release', 'apply', 'FOLDER'],
  ['release', 'undo', 'FOLDER'],
])('a folder in place of a file is wrong input: %j', async (args) => {
  const { exitCode, stderr } = await run(
    '--json',
    ...args.map((arg) => (arg === 'FOLDER' ? import.meta.dirname : arg)),
  );
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'NOT_A_REGULAR_FILE' } });
  expect(stderr).toContain(import.meta.dirname);
  expect(exitCode).toBe(64);
});

test('a wrong --env of run is told before anything is mounted', async () => {
  const { exitCode, stderr } = await run('run', '--env', '=x', 'team/web', '--', 'env');
  expect([exitCode, stderr]).toEqual([64, expect.stringContaining('USAGE: --env =x: no name before the =')]);
});

test.for([
  ['inspect', '/nonexistent.clip'],
  ['ls', '/nonexistent.clip'],
  ['cat', '/nonexistent.clip', '/x'],
  ['mount', '/nonexistent.clip', '/mnt'],
  ['run', '/nonexistent.clip'],
])('a name that is no archive is told with what may be one: %j', async (args) => {
  const { exitCode, stderr } = await run(...args);
  expect(stderr).toContain(
    'PATH_NOT_FOUND: /nonexistent.clip: no such archive (a file, s3://bucket/key, docker://reference, or WORKSPACE/IMAGE of the store)',
  );
  expect(exitCode).toBe(66);
});

test('help shows no empty list as the default of an option that may be given many times', async () => {
  const { stdout } = await run('build', '--help');
  expect(stdout).toContain('--build-arg');
  expect(stdout).not.toContain('default: []');
});
