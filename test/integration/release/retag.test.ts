import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { MEDIA_TYPES } from '../../../src/oci/index.ts';
import type { RegistryClient, Repository } from '../../../src/registry/index.ts';
import { createRepositoryLock, type RetagTarget, removeTag, retagImage } from '../../../src/release/index.ts';
import type { FaultProxy } from '../../support/fault-proxy.ts';
import { pushSmallImage, pushTestIndex } from '../../support/test-index.ts';
import { startTwoRegistries, type TwoRegistries } from '../../support/two-registries.ts';

const signal = new AbortController().signal;
let registries: TwoRegistries;
let client: RegistryClient;
beforeAll(async () => {
  registries = await startTwoRegistries();
  ({ client } = registries);
});
afterAll(() => registries[Symbol.asyncDispose]());

const digestAt = async (repository: Repository, tag: string) =>
  (await client.headManifest(repository, tag, { signal }))?.digest;
const names = (proxy: FaultProxy) =>
  proxy.takeRequests().map(({ method, path }) => `${method} ${path.split('/').slice(-2).join('/')}`);

describe.for(['distribution', 'olareg'] as const)('re-tagging at %s', (name) => {
  const retag = (repository: Repository, source: string, targets: readonly RetagTarget[], dryRun = false) =>
    retagImage({ client, repository, source, targets, dryRun, signal });
  const newSmall = (repository: Repository, tag: string) => pushSmallImage(client, repository, tag);
  const newImage = async (repository: Repository, tag: string, docker = false) =>
    await pushTestIndex(client, repository, tag, { directory: registries.scratch.path, docker });

  test('D13: the same bytes and type under each tag, the source looked up once (D16), and no blob asked for', async () => {
    const repository = registries.newRepository(name);
    const proxy = registries.fronts[name];
    const index = await newImage(repository, 'sha-1');
    proxy.takeRequests();
    const { tags } = await retag(repository, 'sha-1', [{ tag: '1.2.3', expected: 'absent' }, { tag: 'latest' }]);
    expect(tags).toEqual(
      ['1.2.3', 'latest'].map((tag) => ({ tag, before: undefined, after: index.digest, written: true })),
    );
    const requests = names(proxy);
    expect(requests.filter((request) => request.includes('sha-1'))).toEqual(['HEAD manifests/sha-1']);
    expect(requests.filter((request) => request.includes('blobs'))).toEqual([]);
    expect(requests.filter((request) => request.startsWith('PUT'))).toEqual([
      'PUT manifests/1.2.3',
      'PUT manifests/latest',
    ]);
    const written = await client.getManifest(repository, 'latest', { signal });
    expect(Buffer.from(written.bytes)).toEqual(Buffer.from(index.bytes));
    expect(written.mediaType).toBe(MEDIA_TYPES.ociIndex);
  });

  test("D14: Docker's list and single manifests stay what they are", async () => {
    const repository = registries.newRepository(name);
    const list = await newImage(repository, 'list', true);
    await retag(repository, 'list', [{ tag: 'list-2' }]);
    expect(await client.headManifest(repository, 'list-2', { signal })).toMatchObject({
      digest: list.digest,
      mediaType: MEDIA_TYPES.dockerIndex,
    });
    const [child = digestOf('')] = list.children;
    const oci = await client.getManifest(repository, child, { signal });
    const text = Buffer.from(oci.bytes).toString();
    const docker = Buffer.from(
      text
        .replaceAll(MEDIA_TYPES.ociManifest, MEDIA_TYPES.dockerManifest)
        .replaceAll(MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig)
        .replaceAll(MEDIA_TYPES.ociLayerZstd, MEDIA_TYPES.dockerLayerGzip),
    );
    await client.putManifest(repository, 'single', docker, MEDIA_TYPES.dockerManifest, { signal });
    await retag(repository, 'single', [{ tag: 'single-2' }]);
    const again = await client.getManifest(repository, 'single-2', { signal });
    expect(again).toMatchObject({ digest: digestOf(docker), mediaType: MEDIA_TYPES.dockerManifest });
    await retag(repository, child, [{ tag: 'oci-single' }]);
    expect(await client.headManifest(repository, 'oci-single', { signal })).toMatchObject({
      digest: child,
      mediaType: MEDIA_TYPES.ociManifest,
    });
  });

  test('D21: a tag that is not where the plan saw it stops everything before the first write', async () => {
    const repository = registries.newRepository(name);
    const [first, second] = [await newSmall(repository, 'a'), await newSmall(repository, 'latest')];
    for (const expected of [first.digest, 'absent'] as const)
      await expect(retag(repository, 'a', [{ tag: '1.0.0' }, { tag: 'latest', expected }])).rejects.toMatchObject({
        code: 'TAG_CHANGED',
        details: { tag: 'latest', expected, found: second.digest },
      });
    expect(await digestAt(repository, '1.0.0')).toBeUndefined();
    await retag(repository, 'a', [{ tag: '1.0.0' }, { tag: 'latest', expected: second.digest }]);
    expect(await digestAt(repository, 'latest')).toBe(first.digest);
  });

  test('D21: another writer between two tags, or right behind a write, is noticed', async () => {
    const repository = registries.newRepository(name);
    const [ours, theirs] = [await newSmall(repository, 'a'), await newSmall(repository, 'b')];
    const disturbed = (after: string): RegistryClient => ({
      ...client,
      async putManifest(where, tag, ...rest) {
        const put = await client.putManifest(where, tag, ...rest);
        if (tag === after) await client.putManifest(where, 'latest', theirs.bytes, theirs.mediaType, { signal });
        return put;
      },
    });
    const targets: readonly RetagTarget[] = [{ tag: '1.0.0' }, { tag: 'latest', expected: 'absent' }];
    const retagging = { repository, source: 'a', targets, signal };
    await expect(retagImage({ ...retagging, client: disturbed('1.0.0') })).rejects.toMatchObject({
      code: 'TAG_CHANGED',
      details: { tag: 'latest', found: theirs.digest, done: ['1.0.0'] },
    });
    expect(await digestAt(repository, 'latest')).toBe(theirs.digest);
    await client.deleteManifest(repository, 'latest', { signal });
    await expect(retagImage({ ...retagging, client: disturbed('latest') })).rejects.toMatchObject({
      code: 'REGISTRY_RACE_LOST',
      details: { tag: 'latest', digest: ours.digest, found: theirs.digest },
    });
  });

  test('D17: when the version cannot be written, latest stays', async () => {
    const repository = registries.newRepository(name);
    await newSmall(repository, 'a');
    const before = await newSmall(repository, 'latest');
    registries.fronts[name].inject({ method: 'PUT' }, { kind: 'answer', status: 500 }, { times: 3 });
    await expect(retag(repository, 'a', [{ tag: '1.0.0' }, { tag: 'latest' }])).rejects.toMatchObject({
      code: 'REGISTRY_UNAVAILABLE',
    });
    expect(await digestAt(repository, 'latest')).toBe(before.digest);
  });

  test('D32: a permanent tag with the same digest is success without a write, with another one it is refused', async () => {
    const repository = registries.newRepository(name);
    const proxy = registries.fronts[name];
    const [first, second] = [await newSmall(repository, 'a'), await newSmall(repository, 'b')];
    const target = { tag: '1.0.0', permanent: true, expected: 'absent' } as const;
    await retag(repository, 'a', [target]);
    proxy.takeRequests();
    const again = await retag(repository, 'a', [target]);
    expect(again.tags).toEqual([{ tag: '1.0.0', before: first.digest, after: first.digest, written: false }]);
    const refused = { code: 'TAG_PERMANENT', details: { tag: '1.0.0', digest: second.digest, found: first.digest } };
    await expect(retag(repository, 'b', [{ tag: '1.0.0', permanent: true }])).rejects.toMatchObject(refused);
    expect(names(proxy).filter((request) => request.startsWith('PUT'))).toEqual([]);
    for (const status of [400, 409, 412]) {
      proxy.inject({ method: 'PUT' }, { kind: 'answer', status, body: '{"errors":[{"code":"TAG_INVALID"}]}' });
      await expect(retag(repository, 'b', [{ tag: '1.0.0' }])).rejects.toMatchObject(refused);
    }
    // Written, the answer lost, and the second try refused because it is there.
    proxy.inject({ method: 'PUT' }, { kind: 'loseAnswer' });
    proxy.inject({ method: 'PUT' }, { kind: 'answer', status: 409 });
    const { tags } = await retag(repository, 'b', [{ tag: '2.0.0', permanent: true }]);
    expect(tags).toEqual([{ tag: '2.0.0', before: undefined, after: second.digest, written: true }]);
  });

  test.for([401, 403, 429, 500])('D15: status %i to a look-up writes nothing and is not "absent"', async (status) => {
    const repository = registries.newRepository(name);
    const proxy = registries.fronts[name];
    await newSmall(repository, 'a');
    const times = status < 429 ? 1 : 3;
    for (const path of [/manifests\/a$/, /manifests\/1\.0\.0$/]) {
      proxy.inject({ path, method: 'HEAD' }, { kind: 'answer', status }, { times });
      proxy.takeRequests();
      await expect(retag(repository, 'a', [{ tag: '1.0.0' }])).rejects.toMatchObject({ details: { status } });
      expect(names(proxy).filter((request) => request.startsWith('PUT'))).toEqual([]);
    }
    await expect(retag(repository, 'none', [{ tag: '1.0.0' }])).rejects.toMatchObject({ code: 'REGISTRY_NOT_FOUND' });
  });

  test('D22: where only digests are deleted a tag goes by a stand-in, its siblings stay; refused, it stays too', async () => {
    const repository = registries.newRepository(name);
    const proxy = registries.fronts[name];
    const { digest } = await newSmall(repository, '1.0.0');
    await retag(repository, '1.0.0', [{ tag: '1.0' }, { tag: 'latest' }]);
    const remove = (tag: string) => removeTag({ client, repository, tag, expected: digest, signal });
    expect(await remove('1.0.0')).toBe('deleted');
    expect(await remove('1.0.0')).toBe('absent');
    const refuse = (path: RegExp, times: number) => {
      proxy.inject({ method: 'DELETE', path }, { kind: 'answer', status: 400 }, { times });
    };
    refuse(/manifests\/1\.0$/, 1);
    expect(await remove('1.0')).toBe('deleted');
    refuse(/manifests\//, 2);
    proxy.takeRequests();
    await expect(remove('latest')).rejects.toMatchObject({ code: 'REGISTRY_DELETE_UNSUPPORTED' });
    // A registry that deletes nothing never sees the tag move.
    expect(names(proxy).filter((request) => request === 'PUT manifests/latest')).toEqual([]);
    expect(await client.listTags(repository, { signal })).toEqual(['latest']);
    expect(await digestAt(repository, 'latest')).toBe(digest);
    const moved = await newSmall(repository, 'latest');
    await expect(remove('latest')).rejects.toMatchObject({ code: 'TAG_CHANGED', details: { found: moved.digest } });
  });

  test('D39: a dry run makes GET and HEAD only, and sees what the run would see', async () => {
    const repository = registries.newRepository(name);
    const proxy = registries.fronts[name];
    const [first, second] = [await newSmall(repository, 'a'), await newSmall(repository, 'latest')];
    proxy.takeRequests();
    const { tags } = await retag(repository, 'a', [{ tag: '1.0.0', permanent: true }, { tag: 'latest' }], true);
    expect(tags).toEqual([
      { tag: '1.0.0', before: undefined, after: first.digest, written: false },
      { tag: 'latest', before: second.digest, after: first.digest, written: false },
    ]);
    const conflict = retag(repository, 'a', [{ tag: 'latest', permanent: true }], true);
    await expect(conflict).rejects.toMatchObject({ code: 'TAG_PERMANENT' });
    expect(new Set(proxy.takeRequests().map(({ method }) => method))).toEqual(new Set(['HEAD', 'GET']));
  });
});

test('D21: one of our own writes the tags of a repository at a time, and others are not in its way', async () => {
  const lock = createRepositoryLock(registries.scratch.path, { waitMs: 50 });
  const repository = registries.newRepository('olareg');
  {
    await using _held = await lock.hold(repository, { signal });
    await pushSmallImage(client, repository, 'a');
    const request = { client, repository, source: 'a', targets: [{ tag: 'b' }], lock, signal };
    await expect(retagImage(request)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    expect(await digestAt(repository, 'b')).toBeUndefined();
    await using _other = await lock.hold({ ...repository, repository: 'other' }, { signal });
    await retagImage({ ...request, dryRun: true });
  }
  await retagImage({ client, repository, source: 'a', targets: [{ tag: 'b' }], lock, signal });
  expect(await digestAt(repository, 'b')).toBe(await digestAt(repository, 'a'));
});
