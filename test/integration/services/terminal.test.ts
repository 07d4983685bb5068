import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRegistryClient, parseReference, type RegistryClient } from '../../../src/registry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { atTerminal } from '../../support/services/pseudo-terminal.ts';
import { type TestTeam, testTeam } from '../../support/services/team.ts';

const { signal } = new AbortController();
const TOKEN = `ghp_${'t0ken'.repeat(8)}`;

let registry: RunningRegistry;
let proxy: FaultProxy;
let team: TestTeam;
let client: RegistryClient;

beforeAll(async () => {
  registry = await startOlareg();
  proxy = await FaultProxy.start(registry.address);
  team = await testTeam(proxy.address, ['backend', 'frontend']);
  client = createRegistryClient();
  for (const version of ['1.0.0', '1.1.0']) {
    const { exitCode, stdout } = await team.run('--all', '--version', version, '--push');
    if (exitCode !== 0) throw new Error(stdout);
  }
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await team[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const tagsOf = async (service: string) =>
  [...(await client.listTags(parseReference(team.reference(service)), { signal }))].sort();
const deletions = () => proxy.takeRequests().filter(({ method }) => method === 'DELETE' || method === 'PUT');
const args = (...more: readonly string[]) => ['services', '--file', team.file, '--delete-images', ...more];

test('D38: what is not the word is no confirmation', async () => {
  proxy.takeRequests();
  const steps = [['Type "yes"', 'y\n']] as const;
  const { exitCode, screen } = await atTerminal(args('--service', 'backend'), team.env, steps);
  expect(exitCode).toBe(130);
  expect(screen).toContain('nothing was deleted');
  expect(deletions()).toEqual([]);
});

test('R003-9, R003-39, R003-40, C13, D22: yes and DELETE remove the tag that was named and nothing else', async () => {
  proxy.takeRequests();
  const { exitCode, screen } = await atTerminal(args('--service', 'backend', '--version', '1.0.0'), team.env, [
    ['Type "yes"', 'yes\n'],
    ['Type "DELETE"', 'DELETE\n'],
  ]);
  expect(exitCode).toBe(0);
  expect(screen).toContain('Images that will be deleted:\n  backend: 1 image\n    - 1.0.0\n');
  expect(screen).toContain(`✅ Deleted ${team.reference('backend')}:1.0.0`);
  expect(deletions().map(({ method, path }) => [method, path.split('/').at(-1)])).toEqual([['DELETE', '1.0.0']]);
  // The same image stands under the other tags.
  expect(await tagsOf('backend')).toEqual(['1.1.0', 'latest']);
  const where = parseReference(team.reference('backend'));
  expect((await client.getManifest(where, 'latest', { signal })).digest).toBe(
    (await client.getManifest(where, '1.1.0', { signal })).digest,
  );
  expect(await tagsOf('frontend')).toEqual(['1.0.0', '1.1.0', 'latest']);
});

test('R003-40: all services ask once more, for the name', async () => {
  const name = team.reference('x').split('/').slice(1, 3).join('/');
  const steps = [
    ['Type "yes"', 'yes\n'],
    [`Type "${name}"`, 'wrong\n'],
  ] as const;
  proxy.takeRequests();
  expect((await atTerminal(args('--all'), team.env, steps)).exitCode).toBe(130);
  expect(deletions()).toEqual([]);
  const right = [
    ['Type "yes"', 'yes\n'],
    [`Type "${name}"`, `${name}\n`],
    ['Type "DELETE"', 'DELETE\n'],
  ] as const;
  expect((await atTerminal(args('--all'), team.env, right)).exitCode).toBe(0);
  expect([await tagsOf('backend'), await tagsOf('frontend')]).toEqual([[], []]);
});

test('R003-14, R003-15, R003-29: a token is asked for, not shown, checked at the registry and kept nowhere', async () => {
  const steps = [['GitHub token: ', `${TOKEN}\n`]] as const;
  proxy.takeRequests();
  const list = [
    'services',
    '--file',
    team.file,
    '--list-images',
    '--service',
    'backend',
    '--login',
    'github',
    '--debug',
  ];
  const { exitCode, screen } = await atTerminal(list, { ...team.env, CLIPYARD_LOG: 'trace' }, steps);
  expect(exitCode).toBe(0);
  for (const permission of ['write:packages', 'read:packages', 'delete:packages']) expect(screen).toContain(permission);
  expect(screen).toContain('🔐 Logging in to');
  expect(screen).toContain('✅ Successfully logged in to');
  expect(screen).not.toContain(TOKEN);
  expect(proxy.takeRequests()[0]?.path).toBe('/v2/');
  const found = await promisify(execFile)('grep', ['-rlF', TOKEN, join(team.directory, '..')]).catch(() => ({
    stdout: '',
  }));
  expect(found.stdout).toBe('');
});

test('R003-15: what is no token is refused before the registry is asked', async () => {
  proxy.takeRequests();
  const { exitCode, stderr, stdout } = await team.runWith(
    { GITHUB_TOKEN: 'hunter2-hunter2' },
    ...['--list-images', '--service', 'backend', '--login', 'github'],
  );
  expect(exitCode).toBe(77);
  expect(stderr).toContain('this is no GitHub token (15 characters)');
  expect(`${stdout}${stderr}`).not.toContain('hunter2');
  expect(proxy.takeRequests()).toEqual([]);
});

test('R003-14: GITHUB_TOKEN and GITHUB_USERNAME are the login; a token that is refused is told', async () => {
  const answer = { kind: 'answer', status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } } as const;
  proxy.inject({ path: /^\/v2\/$/ }, answer, { times: 2 });
  proxy.takeRequests();
  const { exitCode, stderr } = await team.runWith(
    { GITHUB_TOKEN: TOKEN, GITHUB_USERNAME: 'octocat' },
    ...['--list-images', '--service', 'backend', '--login', 'github'],
  );
  expect(exitCode).toBe(77);
  expect(stderr).toContain('the login is not accepted');
  const login = proxy.takeRequests().at(-1)?.headers['authorization'];
  expect(Buffer.from(String(login).replace('Basic ', ''), 'base64').toString()).toBe(`octocat:${TOKEN}`);
  expect(stderr).not.toContain(TOKEN);
});
