import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TAG_NOTES } from '../../../src/services/index.ts';
import { runInProcess } from '../../support/in-process.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = (...args: readonly string[]) => runInProcess(args, { CLIPYARD_STATE: '/nonexistent' });

test.for([['--help'], ['-h']])(
  'R003-13: %s names every option of the design, and the notes on tags',
  async ([flag = '']) => {
    const { exitCode, stdout } = await run('services', flag);
    expect(exitCode).toBe(0);
    const options = [
      'service',
      'version',
      'all',
      'push',
      'force',
      'no-diff-check',
      'list-images',
      'delete-images',
      'org',
      'repo',
    ];
    for (const option of [...options, 'registry', 'dry-run', 'debug', 'help']) expect(stdout).toContain(`--${option}`);
    expect(stdout).toContain(`Tag Management:\n${TAG_NOTES.map((note) => `  • ${note}\n`).join('')}`);
    for (const variable of ['GITHUB_TOKEN', 'GITHUB_USERNAME', 'DEBUG']) expect(stdout).toContain(variable);
  },
);

test('--version of the command is not the program’s', async () => {
  expect((await run('--version')).stdout).toBe('0.1.0\n');
  const { exitCode, stderr } = await run('services', '--version', 'a/b', '--all');
  expect(exitCode).toBe(64);
  expect(stderr).toContain('--version a/b cannot be a tag');
});

test('services init writes a file that the command takes', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'api'));
  await writeFile(join(directory.path, 'api/Dockerfile'), 'FROM scratch');
  const path = join(directory.path, 'clipyard.yaml');
  const { exitCode } = await run('services', 'init', '--directory', directory.path, '--output', path, '--org', 'acme');
  expect(exitCode).toBe(0);
  expect(await readFile(path, 'utf8')).toContain('org: acme\n');
  const { stderr } = await run('--json', 'services', '--file', path, '--service', 'web');
  expect(stderr).toContain('there is no service web; there is api');
});
