import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/index.ts';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { createRegistryClient, type RegistryClient } from '../../../src/registry/index.ts';
import {
  createRepositoryLock,
  ghcrStore,
  type RetentionPolicy,
  retagImage,
  runRetention,
} from '../../../src/release/index.ts';
import { createLog, Secret } from '../../../src/telemetry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { runInProcess } from '../../support/in-process.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { MemoryRepository } from '../../support/release/memory-repository.ts';
import { PackagesServer } from '../../support/release/packages-server.ts';
import { pushRepository } from '../../support/release/push-repository.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const root = join(import.meta.dirname, '../../..');
const TOKEN = 'ghp_ThisIsAnInventedTokenOfATest0000000';
const policy: RetentionPolicy = {
  keep: 1,
  order: 'version',
  graceMs: 3_600_000,
  protect: new Set(),
  variants: [],
  withCommitTags: false,
};

let registry: RunningRegistry;
let front: FaultProxy;
let client: RegistryClient;
let state: TemporaryDirectory;
let packages: PackagesServer;
let model: MemoryRepository;
let digests: Record<'old' | 'kept' | 'orphan' | 'orphanChild', Digest>;
let repository: { registry: string; repository: string };

beforeAll(async () => {
  registry = await startOlareg();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});
beforeEach(async () => {
  front = await FaultProxy.start(registry.address);
  // As GHCR: nothing is deleted by this API.
  front.inject({ method: 'DELETE' }, { kind: 'answer', status: 405 }, { times: 1000 });
  client = createRegistryClient();
  state = await temporaryDirectory('ghcr');
  repository = { registry: front.address, repository: `owner/apps-app_${randomUUID().slice(0, 8)}` };
  model = new MemoryRepository();
  const orphanChild = model.image({ name: 'child of what nothing names', created: '2026-01-01T00:00:00Z' });
  const shared = model.image({ name: 'shared', created: '2026-01-01T00:00:00Z' });
  digests = {
    orphanChild,
    orphan: model.index([orphanChild, shared], { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' }),
    old: model.index([shared], { release: '1.0.0' }),
    kept: model.index([shared], { release: '1.1.0' }),
  };
  model.tags.set('1.0.0', digests.old);
  model.tags.set('1.1.0', digests.kept);
  const real = { ...repository, registry: registry.address };
  await pushRepository(model, real);
  packages = await PackagesServer.start(model, repository, real);
});
afterEach(async () => {
  await packages[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await front[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
});

function optionsOf({ log = createLog({ level: 'silent' }), patienceMs = 5000 } = {}) {
  return { api: packages.address, token: new Secret(TOKEN), log, patienceMs };
}

async function run({ dryRun = false, ...given }: Parameters<typeof optionsOf>[0] & { dryRun?: boolean } = {}) {
  await using store = ghcrStore(client, repository, optionsOf(given));
  return await runRetention(
    policy,
    { dryRun },
    {
      store,
      objectStores: [],
      lock: createRepositoryLock(state.path),
      stateDirectory: state.path,
      nowMs: Date.now(),
      signal,
    },
  );
}
const isThere = async (digest: Digest) => (await client.headManifest(repository, digest, { signal })) !== undefined;

test('R002-9, D28: GHCR is cleaned through the packages API, untagged versions too, page by page', async () => {
  const { deleted } = await run();
  expect(deleted.map(({ digest }) => digest).toSorted()).toEqual(
    [digests.old, digests.orphan, digests.orphanChild].toSorted(),
  );
  expect(await isThere(digests.kept)).toBe(true);
  expect(await isThere(digests.orphanChild)).toBe(false);
  expect(await client.listTags(repository, { signal })).toEqual(['1.1.0']);
  expect(packages.requests.filter(({ path }) => path.endsWith('/versions')).length).toBeGreaterThan(1);
  expect((await run()).plan.deletions).toEqual([]);
});

test('R002-9: the command goes through the API, with a token alone', async () => {
  const name = `${repository.registry}/${repository.repository}`;
  const args = ['retention', name, '--keep', '1', '--order', 'version', '--no-store'];
  const command = async (token: string) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const said = text(stderr);
    stdout.resume();
    const env = { ...commandEnv(), GITHUB_TOKEN: token };
    const exitCode = await runCommandLine(['node', 'clipyard', ...args], { env, root, signal, stdout, stderr });
    stderr.end();
    return { exitCode, stderr: await said };
  };
  expect(await command('')).toEqual({ exitCode: 64, stderr: expect.stringContaining('GITHUB_TOKEN') as string });
  expect(packages.requests).toEqual([]);
  expect((await command(TOKEN)).exitCode).toBe(0);
  // Untagged ones stay: they are younger than a day.
  expect(await client.listTags(repository, { signal })).toEqual(['1.1.0']);
  expect(await isThere(digests.old)).toBe(false);
});

/** Of a command that finds the API by its registry's name. */
const commandEnv = () => ({
  ...process.env,
  CLIPYARD_STATE: state.path,
  CLIPYARD_PACKAGES_API: `${repository.registry}=${packages.address}`,
  CLIPYARD_STORE: `file://${state.path}/store`,
  DOCKER_CONFIG: state.path,
  GITHUB_TOKEN: TOKEN,
});

test('R002-9, R002-10: a release there cleans through the API, and its undo takes away the latest that it made', async () => {
  const [owner = '', ...rest] = repository.repository.split('/');
  expect(rest).toHaveLength(1);
  const [domain = '', app = ''] = (rest[0] ?? '').split(/-(.*)/);
  const name = ['--registry', repository.registry, '--owner', owner, '--domain', domain];
  await retagImage({ client, repository, source: '1.1.0', targets: [{ tag: 'abc123d' }], signal });
  const policy = ['--retention', 'keep=1,order=version,store_is_empty=true'];
  const released = await runInProcess(
    ['--json', 'release', app, '1.2.0', ...name, '--commit', 'abc123d', ...policy],
    commandEnv(),
  );
  expect(released.stderr).not.toContain('failed');
  expect(JSON.parse(released.stdout)).toMatchObject({ retention: { expiredReleases: ['1.1.0', '1.0.0'] } });
  expect(await at('1.0.0')).toBeUndefined();
  expect(await at('latest')).toBe(digests.kept);
  await writeFile(`${state.path}/record.json`, released.stdout);
  const undone = await runInProcess(['release', 'undo', `${state.path}/record.json`], commandEnv());
  expect([undone.exitCode, undone.stderr]).toEqual([0, '']);
  expect([await at('latest'), await at('1.2.0')]).toEqual([undefined, digests.kept]);
  expect(await client.listTags(repository, { signal })).toEqual(['1.2.0', 'abc123d']);
});

const at = async (tag: string) => (await client.headManifest(repository, tag, { signal }))?.digest;
/** What the API still has of a tag's removal. */
const versionsOf = async () => {
  await using store = ghcrStore(client, repository, optionsOf());
  return (await store.listManifests?.({ signal }))?.map(({ digest }) => digest).toSorted();
};

test('R002-9: a removal that is stopped behind its mark is ended, one that fails is taken back, and no mark is left behind', async () => {
  const before = await versionsOf();
  await using store = ghcrStore(client, repository, optionsOf());
  // The API is out of order for longer than anybody waits.
  packages.answers.push(...Array.from({ length: 5 }, () => ({ match: /^DELETE/, answer: { status: 400, body: {} } })));
  await expect(store.deleteTag('1.0.0', digests.old, { signal })).rejects.toMatchObject({
    code: 'PACKAGE_DELETE_REFUSED',
  });
  expect(await at('1.0.0')).toBe(digests.old);
  const left = (await versionsOf())?.filter((digest) => before?.includes(digest) === false);
  expect(left).toHaveLength(1);
  packages.answers.splice(0);
  // It is no image: it has no grace, whatever GitHub says of its age.
  const { plan } = await run({ dryRun: true });
  expect(plan.deletions.map(({ digest }) => digest)).toContain(left?.[0]);
  await store.deleteManifest(left?.[0] ?? digests.old, { signal });

  const stopping = new AbortController();
  // The mark is under the tag when it is looked for.
  const push = packages.requests.push.bind(packages.requests);
  packages.requests.push = (...entries) => {
    stopping.abort(new Error('stopped'));
    return push(...entries);
  };
  await expect(store.deleteTag('1.0.0', digests.old, { signal: stopping.signal })).rejects.toThrow('stopped');
  packages.requests.push = push;
  expect([await at('1.0.0'), await isThere(digests.old)]).toEqual([undefined, true]);
  expect(await versionsOf()).toEqual(before);
});

test('R002-9: a tag that a kill left on its mark goes with the mark, which is not replaced by another', async () => {
  await client.pushBlob(repository, { digest: digestOf('{}'), sizeBytes: 2, bytes: Buffer.from('{}') }, { signal });
  const mark = model.mark('1.0.0');
  const { bytes, mediaType } = model.manifests.get(mark) ?? { bytes: new Uint8Array(), mediaType: '' };
  await client.putManifest(repository, '1.0.0', bytes, mediaType, { signal });
  front.takeRequests();
  await using store = ghcrStore(client, repository, optionsOf());
  expect(await store.deleteTag('1.0.0', mark, { signal })).toBe('deleted');
  expect([await at('1.0.0'), await isThere(mark)]).toEqual([undefined, false]);
  expect(front.takeRequests().filter(({ method }) => method === 'PUT')).toEqual([]);
});

test('D39: a dry run only reads there too', async () => {
  await run({ dryRun: true });
  expect(new Set(packages.requests.map(({ method }) => method))).toEqual(new Set(['GET']));
});

test('D27: a list that lacks what the registry has deletes nothing, nor one with a page lost', async () => {
  packages.answers.push({ match: /page=2/, answer: { status: 200, body: [] } });
  await expect(run()).rejects.toMatchObject({ code: 'INVENTORY_INCOMPLETE' });
  packages.answers.push({ match: /page=2/, answer: { status: 404, body: { message: 'Not Found' } } });
  await expect(run()).rejects.toMatchObject({ code: 'REGISTRY_NOT_FOUND' });
  packages.answers.push({ match: /versions/, answer: { status: 200, body: { not: 'a list' } } });
  await expect(run()).rejects.toMatchObject({ code: 'REGISTRY_PROTOCOL' });
  const elsewhere = { link: '<http://127.0.0.2:9/versions>; rel="next"' };
  packages.answers.push({ match: /versions/, answer: { status: 200, headers: elsewhere, body: [] } });
  await expect(run()).rejects.toMatchObject({ code: 'REGISTRY_PROTOCOL' });
  expect(packages.requests.filter(({ method }) => method === 'DELETE')).toEqual([]);
});

test.for([
  ['You cannot delete the last tagged version of a package. You must delete the package instead.', 'the whole package'],
  ['Publicly visible package versions with more than 5000 downloads cannot be deleted.', 'its support can delete them'],
])('D28: the refusal "%s" is said plainly', async ([message = '', plain]) => {
  packages.answers.push({ match: /^DELETE/, answer: { status: 400, body: { message } } });
  await expect(run()).rejects.toMatchObject({
    code: 'PACKAGE_DELETE_REFUSED',
    message: expect.stringContaining(plain ?? '') as string,
  });
});

test('D30: a rate limit is waited for within reason', async () => {
  packages.answers.push({ match: /versions/, answer: { status: 429, headers: { 'retry-after': '0' }, body: {} } });
  await run({ dryRun: true });
  const reset = String(Math.floor(Date.now() / 1000) + 3600);
  const spent = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset };
  packages.answers.push({
    match: /versions/,
    answer: { status: 403, headers: spent, body: { message: 'rate limit' } },
  });
  await expect(run()).rejects.toMatchObject({ code: 'REGISTRY_THROTTLED' });
});

test('D31: the token goes to the API alone, and into no log, message or file', async () => {
  const lines = new PassThrough();
  const written = text(lines);
  packages.answers.push({ match: /^DELETE/, answer: { status: 400, body: { message: `bad token ${TOKEN}` } } });
  const failure = await run({ log: createLog({ level: 'debug', terminal: lines }) }).then(
    () => '',
    (thrown: unknown) => String(thrown),
  );
  lines.end();
  expect(failure).toContain('[redacted]');
  expect(failure + (await written)).not.toContain(TOKEN);
  expect(packages.requests.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true);
  expect(front.requests.every(({ headers }) => headers['authorization'] === undefined)).toBe(true);
  expect(() =>
    ghcrStore(client, repository, {
      api: 'http://api.example.test',
      token: new Secret(TOKEN),
      log: createLog({ level: 'silent' }),
    }),
  ).toThrow('https only');
});
