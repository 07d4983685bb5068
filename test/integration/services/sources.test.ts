import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../../support/command-line.ts';
import { serviceSetting } from '../../support/services.ts';
import { temporaryStateDirectory } from '../../support/temporary-directory.ts';

test('R003-43: without a services file the sources are those of the folder beside, and one that is missing is named with its path', async () => {
  await using scratch = await temporaryStateDirectory('sources');
  const shop = join(scratch.path, 'shop');
  await mkdir(join(scratch.path, 'cli'));
  await mkdir(join(shop, 'backend'), { recursive: true });
  await writeFile(join(shop, 'backend/Dockerfile'), 'FROM scratch\nCOPY . /app/\n');
  const env = {
    CLIPYARD_STATE: join(scratch.path, 's'),
    CLIPYARD_STORE: `file://${scratch.path}/store`,
    CLIPYARD_WORKSPACE: 'sources',
    CLIPYARD_LOG: 'warn',
  };
  const names = ['--repo', 'shop', '--registry', serviceSetting('CLIPYARD_REGISTRY'), '--plain', '--jobs', '1'];
  const args = ['services', '--service', 'backend', '--service', 'nginx', ...names];
  const { exitCode, stderr, stdout } = await runCommand(args, env, { cwd: join(scratch.path, 'cli') });
  expect(stdout).toContain(`Building from: ${shop}\n`);
  expect(stdout).toContain(`Successfully built ${serviceSetting('CLIPYARD_REGISTRY')}/milou-sh/shop/backend:latest`);
  // The one that is there is built, whatever becomes of the other.
  expect(stdout).toContain(`[ERROR] nginx: the build context ${shop}/nginx is not there`);
  expect(stdout).toContain(
    `[INFO] The sources are expected at ${shop}/nginx; name another place with source or context`,
  );
  expect(stdout).not.toContain('All operations completed');
  expect([exitCode, stderr]).toEqual([66, expect.stringContaining('CONTEXT_NOT_FOUND') as string]);
});
