import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import {
  createRegistryClient,
  parseReference,
  type RegistryClient,
  type Repository,
} from '../../../src/registry/index.ts';
import { createRepositoryLock, ledgerKey, NO_LOCK, type RepositoryLock } from '../../../src/release/index.ts';
import { createConsole, deleteImages, GithubPackages } from '../../../src/services/index.ts';
import { createLog, Secret } from '../../../src/telemetry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { MemoryRepository } from '../../support/release/memory-repository.ts';
import { PackagesServer } from '../../support/release/packages-server.ts';
import { pushRepository } from '../../support/release/push-repository.ts';
import { atTerminal } from '../../support/services/pseudo-terminal.ts';
import { type TestTeam, testTeam } from '../../support/services/team.ts';

const { signal } = new AbortController();
const TOKEN = `ghp_${'t0ken'.repeat(8)}`;
const WRITES = new Set(['PUT', 'POST', 'PATCH', 'DELETE']);

let registry: RunningRegistry;
let front: FaultProxy;
let team: TestTeam;
let client: RegistryClient;
let packages: PackagesServer;
let image: Repository;
let digests: Record<'old' | 'new' | 'child', Digest>;

beforeAll(async () => {
  registry = await startOlareg();
  front = await FaultProxy.start(registry.address);
  // As GHCR: nothing is deleted by this API.
  front.inject({ method: 'DELETE' }, { kind: 'answer', status: 405 }, { times: 1000 });
  client = createRegistryClient();
  team = await testTeam(front.address, ['backend', 'engine']);
  const { repository } = parseReference(team.reference('backend'));
  image = { registry: front.address, repository };
  const model = new MemoryRepository();
  // The stand-in leaves out the time of every second version, as GitHub may: not that of the first.
  const old = model.image({ name: 'says no time' });
  const child = model.image({ name: 'child', created: '2024-01-15T10:30:59Z' });
  digests = {
    child,
    old,
    new: model.index([child, model.attestation('of the child')]),
  };
  for (const tag of ['1.1.0', 'latest']) model.tags.set(tag, digests.new);
  model.tags.set('1.0.0', digests.old);
  model.fallbackTag(digests.new, [model.referrer(digests.new, 'signature')]);
  const real = { ...image, registry: registry.address };
  await pushRepository(model, real);
  packages = await PackagesServer.start(model, image, real);
});
afterAll(async () => {
  await packages[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await team[Symbol.asyncDispose]();
  await front[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});
beforeEach(() => {
  packages.requests.splice(0);
  front.takeRequests();
});

const login = ['--login', 'github'];
const api = () => ['--packages-api', packages.address];
const run = async (...args: readonly string[]) =>
  await team.runWith({ GITHUB_TOKEN: TOKEN }, '--service', 'backend', ...login, ...api(), ...args);
const tagged = async (tag: string) => (await client.headManifest(image, tag, { signal }))?.digest;
const methods = () => new Set(packages.requests.map(({ method }) => method));

/** Deletes as the command does once it was confirmed. */
async function remove(tag: string, digest: Digest, lock: RepositoryLock = NO_LOCK) {
  const lines: string[] = [];
  const log = createLog({ level: 'silent' });
  const options = { api: packages.address, token: new Secret(TOKEN), log };
  await using github = new GithubPackages({ client, registry: front.address, api: options });
  const [result] = await deleteImages([{ service: 'backend', image, tags: [{ tag, digest }] }], {
    client,
    console: createConsole({ debug: false, pictures: true, write: (line) => lines.push(line) }),
    packages: github,
    lock,
    signal,
  });
  return { outcome: result?.outcome, code: result?.error?.code, said: lines.join('\n') };
}

test('R003-8, R003-38, D33: GHCR is listed with its tags, and with the time of the push where an image says none', async () => {
  const { exitCode, stdout } = await run('--list-images');
  expect(exitCode).toBe(0);
  const rows = stdout.split('\n').filter((line) => line.includes('Tag:'));
  expect(rows).toEqual([
    '  • Tag: latest (created: 2024-01-15 10:30)',
    '  • Tag: 1.0.0 (created: 2026-01-01 00:00)',
    '  • Tag: 1.1.0 (created: 2024-01-15 10:30)',
  ]);
  expect(methods()).toEqual(new Set(['GET']));
  expect(packages.requests.length).toBeGreaterThan(2);
  expect(packages.requests.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true);
});

test('R003-46: a token that may not list packages is told what it lacks, and the tags are listed all the same', async () => {
  const scopes = { 'x-oauth-scopes': 'repo' };
  packages.answers.push({
    match: /versions/,
    answer: { status: 403, headers: scopes, body: { message: 'Forbidden' } },
  });
  const { exitCode, stdout } = await run('--list-images');
  expect(exitCode).toBe(0);
  expect(stdout).toContain('the token needs read:packages; it has repo');
  expect(stdout).toContain('Tag: 1.1.0 (created: 2024-01-15 10:30)');
  packages.answers.push({ match: /packages/, answer: { status: 401, body: { message: 'Bad credentials' } } });
  // Deleting needs the API: it ends before anybody is asked.
  const { exitCode: refused, stderr, stdout: said } = await run('--delete-images');
  expect(said).toContain('[INFO] Set GITHUB_TOKEN to a token with write:packages, read:packages and delete:packages');
  expect([refused, stderr]).toEqual([77, expect.stringContaining('the token is unknown, revoked or expired')]);
});

test('R003-15, R003-16: what a token may not do is told before anything is built or asked', async () => {
  const scopes = (text: string) => ({ status: 200, headers: { 'x-oauth-scopes': text }, body: {} });
  packages.answers.push({ match: /rate_limit/, answer: scopes('read:packages, repo') });
  const pushed = await run('--push');
  expect([pushed.exitCode, pushed.stderr]).toEqual([
    77,
    expect.stringContaining('the GitHub token lacks write:packages; it has read:packages, repo'),
  ]);
  expect(pushed.stdout).not.toContain('📦');
  packages.answers.push({ match: /rate_limit/, answer: scopes('write:packages') });
  const deleted = await run('--delete-images');
  expect([deleted.exitCode, deleted.stderr]).toEqual([77, expect.stringContaining('lacks delete:packages')]);
  // A dry run goes on: it only reads.
  packages.answers.push({ match: /rate_limit/, answer: scopes('write:packages') });
  const dry = await run('--delete-images', '--dry-run');
  expect([dry.exitCode, dry.stdout]).toEqual([0, expect.stringContaining('[WARNING] the GitHub token lacks')]);
});

test('R003-8: a service that was never pushed has no tags, and no package is looked for', async () => {
  const { exitCode, stdout } = await team.runWith(
    { GITHUB_TOKEN: TOKEN },
    ...['--list-images', '--service', 'engine', ...login, ...api()],
  );
  expect([exitCode, stdout]).toEqual([0, expect.stringContaining('📦 engine images:\n  (no tags)')]);
  expect(packages.requests.filter(({ path }) => path !== '/rate_limit')).toEqual([]);
});

test('D31: where the API leads elsewhere the token is not sent', async () => {
  const location = `http://${front.address}/elsewhere`;
  packages.answers.push({
    match: /packages/,
    answer: { status: 301, headers: { location }, body: { message: 'Moved' } },
  });
  const { stdout } = await run('--list-images');
  expect(stdout).toContain('the owner may have a new name');
  const requests = front.takeRequests();
  expect(requests.filter(({ path }) => path === '/elsewhere')).toEqual([]);
  expect(requests.filter(({ headers }) => String(headers['authorization']).includes(TOKEN))).toEqual([]);
  expect(stdout).not.toContain(TOKEN);
});

test('D39, R003-11: a dry run of a deletion only reads, at the registry and at the API', async () => {
  const { exitCode, stdout } = await run('--delete-images', '--dry-run');
  expect([exitCode, stdout]).toEqual([0, expect.stringContaining('  backend: 3 images\n    - latest\n')]);
  expect(methods()).toEqual(new Set(['GET']));
  expect(front.takeRequests().filter(({ method }) => WRITES.has(method))).toEqual([]);
});

test('R003-46: without a token nothing is asked and nothing deleted', async () => {
  const args = ['--delete-images', '--service', 'backend', '--login', 'docker', ...api()];
  const { exitCode, stderr } = await team.run(...args);
  expect([exitCode, stderr]).toEqual([77, expect.stringContaining('set GITHUB_TOKEN to a token with write:packages')]);
  expect(packages.requests).toEqual([]);
});

test.for<
  [
    why: string,
    answer: { status: number; headers?: Record<string, string>; body?: unknown },
    code: string,
    said: string,
  ]
>([
  [
    'a token without delete:packages',
    { status: 403, body: { message: 'Forbidden' } },
    'REGISTRY_DENIED',
    'delete:packages',
  ],
  ['GitHub hides it behind 404', { status: 404, body: {} }, 'REGISTRY_DENIED', 'delete:packages'],
  [
    'single sign-on',
    { status: 403, headers: { 'x-github-sso': 'required; url=https://x' }, body: {} },
    'REGISTRY_DENIED',
    'single sign-on',
  ],
  [
    'too many downloads',
    {
      status: 400,
      body: { message: 'Publicly visible package versions with more than 5000 downloads cannot be deleted.' },
    },
    'PACKAGE_DELETE_REFUSED',
    'its support can delete them',
  ],
])('D28: refused for %s, the tag is where it was', async ([, answer, code, said]) => {
  packages.answers.push({ match: /^DELETE/, answer });
  const result = await remove('1.0.0', digests.old);
  expect(result).toMatchObject({ outcome: 'refused', code, said: expect.stringContaining(said) as string });
  expect(await tagged('1.0.0')).toBe(digests.old);
});

test('R003-9: nothing is deleted while another one has the repository', async () => {
  const lock = createRepositoryLock(team.env['CLIPYARD_STATE'] ?? '', { waitMs: 0 });
  await using _held = await lock.hold(image, { signal });
  const result = await remove('1.0.0', digests.old, lock);
  expect(result).toMatchObject({ outcome: 'refused', code: 'REPOSITORY_LOCKED' });
  expect(packages.requests).toEqual([]);
  expect(await tagged('1.0.0')).toBe(digests.old);
});

test('D22, R003-9, R003-40, C13: a tag goes alone from a version that carries several, and what it named stays', async () => {
  // GitHub deletes versions, each with all of its tags: the one that goes holds nothing but this tag.
  const args = ['services', '--file', team.file, '--delete-images', '--service', 'backend', '--version', '1.1.0'];
  packages.lag = 1;
  // While something goes, whoever releases it, on this machine or another, waits.
  const locks: boolean[] = [];
  const push = packages.requests.push.bind(packages.requests);
  const ledger = join(fileURLToPath(team.env['CLIPYARD_STORE'] ?? ''), ledgerKey(image));
  const isLocked = () => 'lock' in (JSON.parse(readFileSync(ledger, 'utf8')) as object);
  packages.requests.push = (...entries) => {
    if (entries.some(({ method }) => method === 'DELETE')) locks.push(isLocked());
    return push(...entries);
  };
  const { exitCode, screen } = await atTerminal([...args, ...login, ...api()], { ...team.env, GITHUB_TOKEN: TOKEN }, [
    ['Type "yes"', 'yes\n'],
    ['Type "DELETE"', 'DELETE\n'],
  ]);
  expect(screen).toContain(`✅ Deleted ${team.reference('backend')}:1.1.0`);
  expect(exitCode).toBe(0);
  packages.requests.push = push;
  expect([locks, isLocked()]).toEqual([[true], false]);
  expect([await tagged('1.1.0'), await tagged('latest'), await tagged('1.0.0')]).toEqual([
    undefined,
    digests.new,
    digests.old,
  ]);
  expect(await client.headManifest(image, digests.child, { signal })).toBeDefined();
  expect(packages.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(1);
  expect(screen).not.toContain(TOKEN);
});

test('D22: where a registry deletes by digest alone, a tag still goes alone', async () => {
  await using byDigest = await FaultProxy.start(registry.address);
  const tags = { method: 'DELETE', path: /\/manifests\/(?!sha256:)/ };
  byDigest.inject(tags, { kind: 'answer', status: 405 }, { times: 100 });
  const there = { ...image, registry: byDigest.address };
  const { bytes, mediaType } = await client.getManifest(image, 'latest', { signal });
  await client.putManifest(there, '2.0.0', bytes, mediaType, { signal });
  const console = createConsole({ debug: false, pictures: true, write: () => undefined });
  const plans = [{ service: 'backend', image: there, tags: [{ tag: '2.0.0', digest: digests.new }] }];
  const [result] = await deleteImages(plans, { client, console, lock: NO_LOCK, signal });
  expect(result).toMatchObject({ outcome: 'deleted' });
  expect([await tagged('2.0.0'), await tagged('latest')]).toEqual([undefined, digests.new]);
});

test('D28: the last tag of a package stays, and it is said why', async () => {
  expect((await remove('1.0.0', digests.old)).outcome).toBe('deleted');
  for (const tag of await client.listTags(image, { signal }))
    if (tag.startsWith('sha256-'))
      await client.deleteManifest({ ...image, registry: registry.address }, tag, { signal });
  const result = await remove('latest', digests.new);
  expect(result).toMatchObject({ outcome: 'refused', code: 'PACKAGE_DELETE_REFUSED' });
  expect(result.said).toContain('the whole package');
  expect(await tagged('latest')).toBe(digests.new);
});
