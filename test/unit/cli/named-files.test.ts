import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runInProcess } from '../../support/in-process.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const COMMANDS = [
  ['the context', ['tags', '--context', 'FILE']],
  ['the configuration', ['matrix', 'tags', '--config', 'FILE']],
  ['the plan', ['release', 'apply', 'FILE']],
  ['the plan', ['release', 'undo', 'FILE']],
] as const;

async function error(args: readonly string[], file: string, state: string) {
  const words = args.map((word) => (word === 'FILE' ? file : word));
  const { exitCode, stderr, stdout } = await runInProcess(['--json', ...words], { CLIPYARD_STATE: state });
  expect(stdout).toBe('');
  const { error: said } = JSON.parse(stderr) as { error: { code: string; message: string } };
  return { exitCode, code: said.code, message: said.message };
}

test.for(COMMANDS)('%s of %j: what is missing or empty is said so', async ([, args]) => {
  await using scratch = await temporaryDirectory();
  const file = join(scratch.path, 'file');
  expect(await error(args, file, scratch.path)).toMatchObject({
    exitCode: 66,
    code: 'PATH_NOT_FOUND',
    message: expect.stringContaining(file) as string,
  });
  await writeFile(file, '\n');
  const empty = await error(args, file, scratch.path);
  expect(empty).toMatchObject({ exitCode: 64, message: expect.stringMatching(/ is empty(?::|$)/) as string });
});
