import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MEDIA_TYPES } from '../../../src/oci/index.ts';
import {
  createRegistryClient,
  fallbackTagOf,
  type RegistryClient,
  type Repository,
} from '../../../src/registry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startDistribution, startOlareg } from '../../support/registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { pushSmallImage, pushTestIndex, referrerOf } from '../../support/test-index.ts';

const signal = new AbortController().signal;
const limits = { attempts: 3, pauseMs: 5, maxPauseMs: 10, retryBudgetMs: 5000 };
const tagList = /\/tags\/list$/;
const manifests = /\/manifests\//;
const referrers = /\/referrers\//;

describe.for([
  ['distribution', () => startDistribution({ kind: 'none' })],
  ['olareg', startOlareg],
] as const)('operations at %s', ([name, start]) => {
  let registry: RunningRegistry;
  let proxy: FaultProxy;
  let client: RegistryClient;
  let scratch: TemporaryDirectory;
  beforeAll(async () => {
    registry = await start();
    proxy = await FaultProxy.start(registry.address);
    client = createRegistryClient({ limits });
    scratch = await temporaryDirectory('operations');
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });
  const newRepository = (): Repository => ({ registry: proxy.address, repository: `ops/${randomUUID()}` });
  const pushImage = async (repository: Repository, tags: readonly string[]) => {
    const [first = 'latest', ...others] = tags;
    const { bytes, digest, mediaType } = await pushSmallImage(client, repository, first);
    for (const tag of others) await client.putManifest(repository, tag, bytes, mediaType, { signal });
    return digest;
  };

  test('D22: deleting a tag leaves its siblings and the manifest; deleting the digest takes them along', async () => {
    const repository = newRepository();
    const digest = await pushImage(repository, ['1.2.3', 'latest']);
    expect(await client.deleteManifest(repository, '1.2.3', { signal })).toBe('deleted');
    expect(await client.headManifest(repository, '1.2.3', { signal })).toBeUndefined();
    expect((await client.headManifest(repository, 'latest', { signal }))?.digest).toBe(digest);
    expect(await client.deleteManifest(repository, '1.2.3', { signal })).toBe('absent');
    expect(await client.deleteManifest(repository, digest, { signal })).toBe('deleted');
    expect(await client.headManifest(repository, 'latest', { signal })).toBeUndefined();
    expect(await client.headManifest(repository, digest, { signal })).toBeUndefined();
  });

  test.for([400, 405])(
    'D28: status %i to a deletion is REGISTRY_DELETE_UNSUPPORTED, and no other one is tried',
    async (status) => {
      const repository = newRepository();
      const digest = await pushImage(repository, ['1', 'latest']);
      proxy.takeRequests();
      proxy.inject(
        { method: 'DELETE' },
        { kind: 'answer', status, body: '{"errors":[{"code":"UNSUPPORTED"}]}' },
        { times: 2 },
      );
      await expect(client.deleteManifest(repository, '1', { signal })).rejects.toMatchObject({
        code: 'REGISTRY_DELETE_UNSUPPORTED',
        details: { what: 'tag', name: '1', status },
      });
      await expect(client.deleteManifest(repository, digest, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_DELETE_UNSUPPORTED',
        details: { what: 'manifest' },
      });
      expect(proxy.takeRequests().map(({ method, path }) => `${method} ${path.split('/').at(-1) ?? ''}`)).toEqual([
        'DELETE 1',
        `DELETE ${digest}`,
      ]);
      expect((await client.headManifest(repository, '1', { signal }))?.digest).toBe(digest);
    },
  );

  test('D41: referrers are listed, by kind too, with their annotations; no referrer is an empty list', async () => {
    const repository = newRepository();
    const subject = await pushImage(repository, ['v1']);
    expect(await client.listReferrers(repository, subject, { signal })).toEqual([]);
    const signature = await referrerOf(client, repository, subject, {
      artifactType: 'application/vnd.test.sig',
      note: 'a',
    });
    const plain = await referrerOf(client, repository, subject, { note: 'b' });
    await Promise.all(
      [signature, plain].map(({ bytes, mediaType }) => client.pushReferrer(repository, bytes, mediaType, { signal })),
    );
    const all = await client.listReferrers(repository, subject, { signal });
    expect(
      all.toSorted((left, right) =>
        (left.annotations?.['note'] ?? '').localeCompare(right.annotations?.['note'] ?? ''),
      ),
    ).toMatchObject([
      { digest: signature.digest, artifactType: 'application/vnd.test.sig', annotations: { note: 'a' } },
      { digest: plain.digest, artifactType: 'application/vnd.test.config', annotations: { note: 'b' } },
    ]);
    const artifactType = 'application/vnd.test.sig';
    expect(
      (await client.listReferrers(repository, subject, { artifactType, signal })).map(({ digest }) => digest),
    ).toEqual([signature.digest]);
    // Only where the registry does not keep the list, it is under the tag.
    const tags = await client.listTags(repository, { signal });
    expect(tags.includes(fallbackTagOf(subject))).toBe(name === 'distribution');
  });

  test('D41: without the API (404) the fallback list is read and kept by us; entries of others stay as they are', async () => {
    const repository = newRepository();
    const subject = await pushImage(repository, ['v1']);
    const other = {
      mediaType: MEDIA_TYPES.ociManifest,
      digest: subject,
      size: 1,
      data: 'e30=',
      artifactType: 'x/other',
    };
    const list = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [other] }));
    await client.putManifest(repository, fallbackTagOf(subject), list, MEDIA_TYPES.ociIndex, { signal });
    proxy.inject({ path: referrers }, { kind: 'answer', status: 404 }, { times: 1 });
    expect(await client.listReferrers(repository, subject, { signal })).toMatchObject([{ artifactType: 'x/other' }]);
    if (name !== 'distribution') return; // olareg keeps the list itself from here on
    const added = await referrerOf(client, repository, subject, { artifactType: 'x/ours' });
    await client.pushReferrer(repository, added.bytes, added.mediaType, { signal });
    await client.pushReferrer(repository, added.bytes, added.mediaType, { signal });
    const { bytes } = await client.getManifest(repository, fallbackTagOf(subject), { signal });
    expect((JSON.parse(Buffer.from(bytes).toString()) as { manifests: unknown }).manifests).toMatchObject([
      other,
      { digest: added.digest, artifactType: 'x/ours', annotations: { note: 'none' } },
    ]);
  });

  test.for([403, 429, 500])('D41: status %i to a listing of referrers is no empty list', async (status) => {
    const repository = newRepository();
    const subject = await pushImage(repository, ['v1']);
    proxy.inject({ path: referrers }, { kind: 'answer', status }, { times: status === 403 ? 1 : 3 });
    await expect(client.listReferrers(repository, subject, { signal })).rejects.toMatchObject({ details: { status } });
    proxy.takeRequests();
  });

  test('D42: several tags at once; those that the answer does not name are set one by one, in order', async () => {
    const repository = newRepository();
    const index = await pushTestIndex(client, repository, 'source', { directory: scratch.path });
    proxy.takeRequests();
    const tags = ['1.2.3', '1.2', 'latest'];
    await client.putManifestTags(repository, index.bytes, index.mediaType, { tags, signal });
    const puts = proxy.takeRequests().filter(({ method }) => method === 'PUT');
    expect(puts[0]?.query).toBe('?tag=1.2.3&tag=1.2&tag=latest');
    const set = puts.slice(1).map(({ path }) => path.split('/').at(-1));
    expect(set).toEqual(tags.filter((tag) => set.includes(tag)));
    for (const tag of tags) expect((await client.headManifest(repository, tag, { signal }))?.digest).toBe(index.digest);
    const answer = { 'oci-tag': ['one', 'three, four'], 'docker-content-digest': index.digest };
    proxy.inject({ method: 'PUT' }, { kind: 'answer', status: 201, headers: answer });
    proxy.takeRequests();
    await client.putManifestTags(repository, index.bytes, index.mediaType, {
      tags: ['one', 'two', 'three', 'four'],
      signal,
    });
    expect(proxy.takeRequests().map(({ path }) => path.split('/').at(-1))).toEqual([index.digest, 'two']);
  });

  test('D27: a tag list that breaks off, stays away or leads elsewhere is an error, never a part', async () => {
    const repository = newRepository();
    await pushImage(repository, ['a', 'b', 'c']);
    expect((await client.listTags(repository, { signal })).toSorted()).toEqual(['a', 'b', 'c']);
    await expect(client.listTags(repository, { maxTags: 2, signal })).rejects.toMatchObject({
      code: 'REGISTRY_LIST_INCOMPLETE',
    });
    const body = JSON.stringify({ name: repository.repository, tags: ['a'] });
    const page = (link: string) => ({ kind: 'answer', status: 200, body, headers: { link } }) as const;
    const next = `</v2/${repository.repository}/tags/list?last=a>; rel="next"`;
    for (const [fault, code, times] of [
      [{ kind: 'answer', status: 404 }, 'REGISTRY_LIST_INCOMPLETE', 1],
      [{ kind: 'answer', status: 500 }, 'REGISTRY_UNAVAILABLE', 3],
      [{ kind: 'answer', status: 429 }, 'REGISTRY_THROTTLED', 3],
      [{ kind: 'shortenResponse', toBytes: 5 }, 'REGISTRY_PROTOCOL', 1],
    ] as const) {
      proxy.inject({ path: tagList }, page(next));
      proxy.inject({ path: tagList }, fault, { times });
      await expect(client.listTags(repository, { signal })).rejects.toMatchObject({ code });
    }
    proxy.inject({ path: tagList }, page(`<http://127.0.0.1:1/tags?last=a>; rel="next"`));
    await expect(client.listTags(repository, { signal })).rejects.toMatchObject({ code: 'REGISTRY_LIST_INCOMPLETE' });
    proxy.inject({ path: tagList }, page(next), { times: 2 });
    await expect(client.listTags(repository, { signal })).rejects.toMatchObject({ code: 'REGISTRY_LIST_INCOMPLETE' });
  });

  test('D29: pages may be short, empty, null and unordered; a list ends where nothing follows', async () => {
    const repository = newRepository();
    await pushImage(repository, ['z', 'a']);
    const page = (tags: readonly string[] | null, link: string) =>
      ({ kind: 'answer', status: 200, body: JSON.stringify({ tags }), headers: { link } }) as const;
    proxy.inject(
      { path: tagList },
      page(['y', 'b'], '</v2/other/tags/list?last=0>; rel="prev", <list?n=1&last=1,1>; rel=next'),
    );
    proxy.inject({ path: tagList }, page([], '<list?last=2>; rel="next"'));
    proxy.inject({ path: tagList }, page(null, '<list>; rel="next"'));
    proxy.takeRequests();
    // The fourth is the registry's own list.
    await expect(client.listTags(repository, { signal })).rejects.toMatchObject({ code: 'REGISTRY_LIST_INCOMPLETE' });
    proxy.inject({ path: tagList }, page(['y', 'b'], '<list?n=1&last=1>; rel="next"'));
    proxy.inject({ path: tagList }, page([], '<list?last=2>; rel="next"'));
    proxy.inject({ path: tagList }, page(null, '<list?n=5>; rel="next"'));
    expect((await client.listTags(repository, { signal })).toSorted()).toEqual(['a', 'b', 'y', 'z']);
    expect(await client.listTags(newRepository(), { signal })).toEqual([]);
  });

  test('a name that is neither tag nor digest reaches no other path', async () => {
    proxy.takeRequests();
    for (const bad of ['../blobs/x', 'a/b', '', 'sha256:12', '-a'])
      await expect(client.deleteManifest(newRepository(), bad, { signal })).rejects.toMatchObject({
        code: 'REFERENCE_INVALID',
      });
    expect(proxy.takeRequests()).toEqual([]);
  });

  test('D30: a look-up is a HEAD and obeys 429, in seconds, as a date or without a time', async () => {
    const repository = newRepository();
    const digest = await pushImage(repository, ['v1']);
    proxy.takeRequests();
    const past = new Date(Date.now() - 5000).toUTCString();
    for (const headers of [{}, { 'retry-after': '0' }, { 'retry-after': past }]) {
      proxy.inject({ path: manifests }, { kind: 'answer', status: 429, headers });
      expect((await client.headManifest(repository, 'v1', { signal }))?.digest).toBe(digest);
    }
    expect(proxy.takeRequests().map(({ method, status }) => [method, status])).toEqual(
      [429, 200, 429, 200, 429, 200].map((status) => ['HEAD', status]),
    );
    proxy.inject({ path: manifests }, { kind: 'answer', status: 429 }, { times: 3 });
    await expect(client.headManifest(repository, 'v1', { signal })).rejects.toMatchObject({
      code: 'REGISTRY_THROTTLED',
    });
  });

  test.for([401, 403, 500, 503])('D15: status %i is not the answer that there is none', async (status) => {
    const repository = newRepository();
    proxy.inject({ path: manifests }, { kind: 'answer', status }, { times: status < 500 ? 1 : 3 });
    await expect(client.headManifest(repository, 'v1', { signal })).rejects.toMatchObject({ details: { status } });
    expect(await client.headManifest(repository, 'v1', { signal })).toBeUndefined();
  });
});
