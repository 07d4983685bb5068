import { execFile } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createRegistryClient, parseReference } from '../../../src/registry/index.ts';
import { startOlareg } from '../../support/registry.ts';
import { testTeam } from '../../support/services/team.ts';

const root = join(import.meta.dirname, '../../..');
const { signal } = new AbortController();

test('R003-44, R003-48: the scripts of the four workflows do what they say', async () => {
  await using registry = await startOlareg();
  await using team = await testTeam(registry.address, ['unused']);
  await using client = createRegistryClient();
  const examples = join(team.directory, 'examples');
  await cp(join(root, 'examples/services'), examples, { recursive: true });
  const env = { ...process.env, ...team.env, BUILD_AND_PUSH: join(root, 'scripts/build-and-push.sh') };
  const run = async (script: string) => {
    const args = ['--registry', registry.address];
    return (await promisify(execFile)(join(examples, `${script}.sh`), args, { env })).stdout;
  };
  const digestOf = async (service: string, tag: string) => {
    const where = parseReference(`${registry.address}/milou-sh/milou/${service}`);
    return (await client.headManifest(where, tag, { signal }))?.digest;
  };

  await run('development');
  expect(await digestOf('backend', 'latest')).toBeDefined();
  const release = await run('release');
  expect(release).toContain('🎉 All operations completed successfully!');
  expect(release).toContain('   ✅ Success: database, backend, frontend, engine, nginx');
  for (const service of ['database', 'backend', 'frontend', 'engine', 'nginx'])
    expect(await digestOf(service, '1.2.0')).toBe((await digestOf(service, 'latest')) ?? 'none');
  await writeFile(join(examples, 'team/backend/fix'), 'x');
  expect(await run('hotfix')).toContain('💡 latest not moved: 1.2.0 is higher');
  expect(await digestOf('backend', 'latest')).toBe(await digestOf('backend', '1.2.0'));
  expect(await digestOf('backend', '1.1.1')).not.toBe(await digestOf('backend', '1.2.0'));
  const cleanup = await run('cleanup');
  expect(cleanup).toContain('📦 backend images:\n  • Tag: latest');
  expect(cleanup).toContain('  backend: 1 image\n    - 1.1.1\n');
  expect(await digestOf('backend', '1.1.1')).toBeDefined();
});
