import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatReference, type RegistryClient, type Repository } from '../../../src/registry/index.ts';
import { runInProcess } from '../../support/in-process.ts';
import { pushSmallImage, pushTestIndex, referrerOf } from '../../support/test-index.ts';
import { startTwoRegistries, type TwoRegistries } from '../../support/two-registries.ts';

const signal = new AbortController().signal;
let registries: TwoRegistries;
let client: RegistryClient;
let repository: Repository;
let name: string;
beforeAll(async () => {
  registries = await startTwoRegistries();
  ({ client } = registries);
  repository = registries.newRepository('olareg');
  name = formatReference(repository);
});
afterAll(() => registries[Symbol.asyncDispose]());

const run = (...args: readonly string[]) =>
  runInProcess(args, { CLIPYARD_STATE: registries.scratch.path, DOCKER_CONFIG: registries.scratch.path });

async function json<T>(...args: readonly string[]): Promise<T> {
  const { exitCode, stderr, stdout } = await run('--json', ...args);
  if (exitCode !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

const methods = () => new Set(registries.fronts.olareg.takeRequests().map(({ method }) => method));

test('digest prints what the registry has, by a HEAD; --json adds type, size and the platforms of an index', async () => {
  const index = await pushTestIndex(client, repository, 'latest', { directory: registries.scratch.path });
  methods();
  expect(await run('digest', name)).toMatchObject({ exitCode: 0, stdout: `${index.digest}\n` });
  expect(methods()).toEqual(new Set(['HEAD']));
  expect(await json('digest', `${name}:latest`)).toEqual({
    reference: `${name}:latest`,
    digest: index.digest,
    mediaType: index.mediaType,
    size: index.bytes.length,
    platforms: ['linux/amd64', 'linux/arm64'],
  });
  const none = await run('--json', 'digest', `${name}:none`);
  expect(none).toMatchObject({ exitCode: 66, stdout: '' });
  expect(JSON.parse(none.stderr)).toMatchObject({ error: { code: 'REGISTRY_NOT_FOUND' } });
});

test('tag sets the tags in order; a dry run only reads; a permanent tag stays', async () => {
  const { digest } = await pushSmallImage(client, repository, 'a');
  const other = await pushSmallImage(client, repository, 'b');
  methods();
  expect(await run('tag', `${name}:a`, '1.0.0', 'stable', '--dry-run')).toMatchObject({
    exitCode: 0,
    stdout: `would set ${name}:1.0.0 absent -> ${digest}\nwould set ${name}:stable absent -> ${digest}\n`,
  });
  expect(methods()).toEqual(new Set(['HEAD', 'GET']));
  expect(await json('tag', `${name}:a`, '1.0.0', 'stable')).toEqual({
    repository: name,
    digest,
    mediaType: other.mediaType,
    tags: ['1.0.0', 'stable'].map((tag) => ({ tag, before: null, after: digest, written: true })),
    dryRun: false,
  });
  expect((await run('tag', `${name}@${digest}`, 'stable')).stdout).toBe(`${name}:stable unchanged ${digest}\n`);
  expect((await run('tag', `${name}:b`, 'stable')).stdout).toBe(`set ${name}:stable ${digest} -> ${other.digest}\n`);
  const refused = await run('tag', `${name}:b`, '1.0.0', '--permanent');
  expect(refused).toMatchObject({ exitCode: 73, stdout: '' });
  expect(refused.stderr).toContain('TAG_PERMANENT');
  expect((await run('tag', `${name}:b`, 'not/a/tag')).exitCode).toBe(64);
});

test('D2, D21: tag --release leaves latest and the line to a higher version, and moves no version', async () => {
  const where = registries.newRepository('olareg');
  const image = formatReference(where);
  const released = await pushSmallImage(client, where, '1.3.0');
  for (const each of ['1', 'latest'])
    await client.putManifest(where, each, released.bytes, released.mediaType, { signal });
  const { digest } = await pushSmallImage(client, where, 'built');
  const patch = ['tag', `${image}:built`, '1.2.4', '1.2', '1', 'latest', '--release', '1.2.4'];
  methods();
  const dry = await run(...patch, '--dry-run');
  expect(methods()).toEqual(new Set(['HEAD', 'GET']));
  expect(dry.stdout.split('\n')).toEqual([
    `would set ${image}:1.2.4 absent -> ${digest}`,
    `would set ${image}:1.2 absent -> ${digest}`,
    `left ${image}:1: 1.3.0 is higher`,
    `left ${image}:latest: 1.3.0 is higher`,
    '',
  ]);
  expect(await json(...patch)).toMatchObject({
    tags: [{ tag: '1.2.4' }, { tag: '1.2' }],
    left: [{ tag: '1', reason: '1.3.0 is higher' }, { tag: 'latest' }],
  });
  const now = async (tag: string) => (await client.headManifest(where, tag, { signal }))?.digest;
  expect([await now('1.2.4'), await now('1.2'), await now('1'), await now('latest')]).toEqual([
    digest,
    digest,
    released.digest,
    released.digest,
  ]);
  expect(await run('tag', `${image}:built`, '1.3.0', '--release', '1.3.0')).toMatchObject({ exitCode: 73 });
  // Another release comes between the look and the write: its tag is not taken.
  const takeOver = async () => {
    await pushSmallImage(client, where, '1.2');
  };
  registries.fronts.olareg.inject({ method: 'GET', path: /\/tags\/list/ }, { kind: 'meanwhile', first: takeOver });
  const lost = await run('--json', 'tag', `${image}:1.3.0`, '1.2', '--release', '1.2.5');
  expect([lost.exitCode, JSON.parse(lost.stderr)]).toMatchObject([73, { error: { code: 'TAG_CHANGED' } }]);
});

test('copy takes an image to another registry, after a dry run that only reads; a second time nothing is sent', async () => {
  const { digest } = await pushSmallImage(client, repository, 'c');
  const target = registries.newRepository('distribution');
  const to = formatReference(target);
  registries.fronts.distribution.takeRequests();
  const planned = await run('copy', `${name}:c`, to, '--dry-run');
  expect(planned.stdout).toContain(
    `would copy ${name}:c to ${to}:c: ${digest}\n  manifests 1 new, 0 there; blobs 1 sent`,
  );
  const asked = registries.fronts.distribution.takeRequests().map(({ method }) => method);
  expect(asked.filter((method) => method !== 'HEAD' && method !== 'GET')).toEqual([]);
  expect(await json('copy', `${name}:c`, to)).toMatchObject({
    target: `${to}:c`,
    digest,
    tag: { tag: 'c', before: null, after: digest, written: true },
    manifests: { copied: 1, present: 0 },
    blobs: { sent: 1, mounted: 0, present: 0 },
  });
  expect(await json('copy', `${name}:c`, to)).toMatchObject({ tag: { written: false }, manifests: { copied: 0 } });
  expect((await client.headManifest(target, 'c', { signal }))?.digest).toBe(digest);
});

test('copy --platform takes one image of an index: not an index of one, and no attestations', async () => {
  const index = await pushTestIndex(client, repository, 'e', { directory: registries.scratch.path });
  const target = registries.newRepository('distribution');
  const to = formatReference(target);
  const [, arm = index.digest] = index.children;
  const copied = { digest: arm, tag: { after: arm }, manifests: { copied: 1, present: 0 } };
  expect(await json('copy', `${name}:e`, to, '--platform', 'linux/arm64')).toMatchObject(copied);
  expect((await client.headManifest(target, 'e', { signal }))?.digest).toBe(arm);
  expect(await client.headManifest(target, index.digest, { signal })).toBeUndefined();
  const none = await run('--json', 'copy', `${name}:e`, to, '--platform', 'linux/s390x');
  expect(JSON.parse(none.stderr)).toMatchObject({ error: { code: 'PLATFORM_NOT_FOUND' } });
  // An image by itself is for one platform, too, and is not taken for another.
  const other = await run('--json', 'copy', `${to}:e`, `${to}:f`, '--platform', 'linux/s390x');
  expect(other.stderr).toContain('PLATFORM_NOT_FOUND');
  expect(other.stderr).toContain(`${to}:e is for linux/amd64`);
  expect(await client.headManifest(target, 'f', { signal })).toBeUndefined();
});

test('referrers lists what names an image as its subject, of one kind when asked', async () => {
  const { digest } = await pushSmallImage(client, repository, 'd');
  expect(await json('referrers', `${name}:d`)).toEqual({ subject: digest, referrers: [] });
  expect((await run('referrers', `${name}:d`)).stdout).toBe('no referrers\n');
  expect((await run('referrers', `${name}:d`, '--artifact-type', 'x/y')).stdout).toBe('no referrers of type x/y\n');
  for (const artifactType of ['x/one', 'x/two']) {
    const { bytes, mediaType } = await referrerOf(client, repository, digest, { artifactType });
    await client.pushReferrer(repository, bytes, mediaType, { signal });
  }
  expect((await json<{ referrers: unknown[] }>('referrers', `${name}:d`)).referrers).toHaveLength(2);
  const { referrers } = await json<{ referrers: unknown[] }>('referrers', `${name}:d`, '--artifact-type', 'x/two');
  expect(referrers).toMatchObject([{ artifactType: 'x/two' }]);
  expect((await run('referrers', `${name}:d`)).stdout).toMatch(
    /^digest +artifact type +size\nsha256:[0-9a-f]{64} +x\//,
  );
});

test.for(['digest', 'tag', 'copy', 'referrers'])('%s explains itself with examples', async (command) => {
  const { exitCode, stdout } = await run(command, '--help');
  expect(exitCode).toBe(0);
  expect(stdout).toContain(`Examples:\n`);
  expect(stdout).toContain(`clipyard ${command} registry.example/app`);
});
