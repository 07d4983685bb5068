import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  createRegistryClient,
  fallbackTagOf,
  type RegistryClient,
  type Repository,
} from '../../../src/registry/index.ts';
import { copyImage } from '../../../src/release/index.ts';
import { Secret } from '../../../src/telemetry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { startDistribution, TEST_LOGIN } from '../../support/registry.ts';
import { type PushedIndex, pushSmallImage, pushTestIndex, referrerOf } from '../../support/test-index.ts';
import { TokenService } from '../../support/token-service.ts';
import { startTwoRegistries, type TwoRegistries } from '../../support/two-registries.ts';

const signal = new AbortController().signal;
let registries: TwoRegistries;
let client: RegistryClient;
beforeAll(async () => {
  registries = await startTwoRegistries();
  ({ client } = registries);
});
afterAll(() => registries[Symbol.asyncDispose]());

const digestAt = async (repository: Repository, name: string) =>
  (await client.headManifest(repository, name, { signal }))?.digest;
const newIndex = async (repository: Repository, tag: string): Promise<PushedIndex> =>
  await pushTestIndex(client, repository, tag, { directory: registries.scratch.path });
const takeRequests = () => Object.values(registries.fronts).flatMap((front) => [...front.takeRequests()]);

/** An index with all that can refer to it: to itself, to a child and to a referrer, by subject and by tag. */
async function signedImage(repository: Repository) {
  const index = await newIndex(repository, '1.0.0');
  const [child = index.digest] = index.children;
  const refer = async (subject = index.digest, note = '') => {
    const made = await referrerOf(client, repository, subject, { artifactType: 'application/vnd.test.sig', note });
    await client.pushReferrer(repository, made.bytes, made.mediaType, { signal });
    return made.digest;
  };
  const signature = await refer(index.digest, 'of the index');
  const pairs = [
    [index.digest, signature],
    [child, await refer(child, 'of a child')],
    [signature, await refer(signature, 'of the signature')],
  ] as const;
  const companions = [`${fallbackTagOf(index.digest)}.sig`, `${fallbackTagOf(child)}.att`];
  for (const tag of companions) await pushSmallImage(client, repository, tag);
  return { index, pairs, companions };
}

describe.for([
  ['distribution', 'olareg'],
  ['olareg', 'distribution'],
  ['distribution', 'distribution'],
] as const)('a copy from %s to %s', ([from, to]) => {
  const isSame = from === to;

  test('D19, D20: takes children, attestations, referrers of all of them and digest tags along; tags come last', async () => {
    const [source, target] = [registries.newRepository(from), registries.newRepository(to)];
    const { companions, index, pairs } = await signedImage(source);
    const request = { client, source: { ...source, tag: '1.0.0' }, target: { ...target, tag: 'stable' }, signal };
    takeRequests();
    const planned = await copyImage({ ...request, dryRun: true });
    expect(takeRequests().filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([]);

    const copied = await copyImage(request);
    const requests = takeRequests();
    expect(copied).toMatchObject({ digest: index.digest, mediaType: index.mediaType, referrers: 3, missing: [] });
    expect(copied.tag).toEqual({ tag: 'stable', before: undefined, after: index.digest, written: true });
    expect([...copied.companions].toSorted()).toEqual(companions.toSorted());
    // A dry run cannot see that the copy itself brings a blob before it is asked for again.
    expect(planned).toMatchObject({
      digest: index.digest,
      manifests: copied.manifests,
      referrers: 3,
      blobs: copied.blobs,
    });
    expect(copied.blobs[isSame ? 'mounted' : 'sent']).toBeGreaterThanOrEqual(index.blobs.length);
    const blobReads = requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'));
    expect(blobReads.length > 0).toBe(!isSame);

    const fetched = await client.getManifest(target, 'stable', { signal });
    expect(Buffer.from(fetched.bytes)).toEqual(Buffer.from(index.bytes));
    for (const digest of index.children) expect(await digestAt(target, digest)).toBe(digest);
    for (const digest of index.blobs) expect(await client.headBlob(target, digest, { signal })).toBeDefined();
    for (const [subject, referrer] of pairs)
      expect(await client.listReferrers(target, subject, { signal })).toMatchObject([
        { digest: referrer, artifactType: 'application/vnd.test.sig' },
      ]);
    for (const tag of companions) expect(await digestAt(target, tag)).toBe(await digestAt(source, tag));
    const puts = requests.filter(({ method, path }) => method === 'PUT' && path.includes('/manifests/'));
    const names = puts.map(({ path }) => path.split('/').at(-1) ?? '');
    const tagged = names.indexOf('stable');
    expect(names.slice(0, tagged).toSorted()).toEqual([...index.children, index.digest].toSorted());
    expect(names[tagged - 1]).toBe(index.digest);

    const again = await copyImage(request);
    expect(again).toMatchObject({ manifests: { copied: 0 }, blobs: { sent: 0, mounted: 0 }, referrers: 3 });
    expect(takeRequests().filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([]);
  });

  test('without referrers only the image goes; a broken copy sets no tag and goes on where it was', async () => {
    const [source, target] = [registries.newRepository(from), registries.newRepository(to)];
    const index = await newIndex(source, '1.0.0');
    const copy = () =>
      copyImage({
        client,
        source: { ...source, digest: index.digest },
        target: { ...target, tag: 'stable' },
        withoutReferrers: true,
        signal,
      });
    const path = new RegExp(`${target.repository}/manifests/${index.digest}`);
    registries.fronts[to].inject({ method: 'PUT', path }, { kind: 'answer', status: 503 }, { times: 3 });
    await expect(copy()).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' });
    expect(await client.listTags(target, { signal })).toEqual([]);
    takeRequests();
    expect(await copy()).toMatchObject({
      manifests: { copied: 1, present: 4 },
      blobs: { sent: 0, mounted: 0, present: 0 },
      referrers: 0,
    });
    expect(takeRequests().filter(({ path: asked }) => asked.includes('/referrers/'))).toEqual([]);
  });
});

test('a blob whose source breaks off is taken up where it was, whole; one that is not there is BLOB_MISSING', async () => {
  const [source, target] = [registries.newRepository('olareg'), registries.newRepository('distribution')];
  const index = await newIndex(source, 'a');
  const copy = (tag: string) =>
    copyImage({ client, source: { ...source, tag: 'a' }, target: { ...target, tag }, signal });
  const blobs = /\/blobs\/sha256/;
  registries.fronts.olareg.inject({ method: 'GET', path: blobs }, { kind: 'answer', status: 404 });
  await expect(copy('broken')).rejects.toMatchObject({ code: 'BLOB_MISSING' });
  expect(await digestAt(target, 'broken')).toBeUndefined();
  registries.fronts.olareg.inject(
    { method: 'GET', path: blobs },
    { kind: 'cutResponse', afterBytes: 100 },
    { times: 2 },
  );
  registries.fronts.olareg.inject({ method: 'GET', path: blobs }, { kind: 'answer', status: 429 });
  registries.fronts.distribution.inject({ method: 'PUT', path: /uploads/ }, { kind: 'cutRequest', afterBytes: 10 });
  expect((await copy('whole')).digest).toBe(index.digest);
  for (const digest of index.blobs) expect(await client.headBlob(target, digest, { signal })).toBeDefined();
});

test('D19: a mount that the registry answers with an upload (202) is no mount: the blob is sent', async () => {
  const [source, target] = [registries.newRepository('distribution'), registries.newRepository('distribution')];
  const index = await newIndex(source, 'a');
  const start = new URL(`http://${target.registry}/v2/${target.repository}/blobs/uploads/`);
  const location = (await fetch(start, { method: 'POST' })).headers.get('location') ?? '';
  registries.fronts.distribution.inject({ method: 'POST' }, { kind: 'answer', status: 202, headers: { location } });
  const { blobs } = await copyImage({
    client,
    source: { ...source, tag: 'a' },
    target: { ...target, tag: 'a' },
    signal,
  });
  expect(blobs).toEqual({ sent: 1, mounted: index.blobs.length - 1, present: 0 });
});

test('in one repository a copy is a tag, and a digest that is another one is refused', async () => {
  const repository = registries.newRepository('olareg');
  const { digest } = await pushSmallImage(client, repository, 'a');
  takeRequests();
  const { tag } = await copyImage({
    client,
    source: { ...repository, tag: 'a' },
    target: { ...repository, tag: 'b' },
    signal,
  });
  expect(tag).toMatchObject({ after: digest, written: true });
  expect(takeRequests().filter(({ path }) => path.includes('/blobs/'))).toEqual([]);
  const other = { ...registries.newRepository('olareg'), digest: digestOf('x') };
  const refused = copyImage({ client, source: { ...repository, tag: 'a' }, target: other, signal });
  await expect(refused).rejects.toMatchObject({ code: 'BLOB_MISMATCH' });
  const none = copyImage({ client, source: { ...repository, tag: 'none' }, target: repository, signal });
  await expect(none).rejects.toMatchObject({ code: 'REGISTRY_NOT_FOUND' });
});

test('D31: a copy asks for tokens of both repositories, gets a new one when it is refused in the middle, and prints none', async () => {
  await using service = await TokenService.start(TEST_LOGIN);
  await using registry = await startDistribution({ kind: 'token', service });
  await using proxy = await FaultProxy.start(registry.address);
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) });
  const password = new Secret(TEST_LOGIN.password);
  const credentials = {
    get: () => Promise.resolve({ kind: 'basic', username: TEST_LOGIN.username, password } as const),
  };
  await using known = createRegistryClient({ credentials, log, limits: { attempts: 2, pauseMs: 5 } });
  const [source, target] = [
    { registry: proxy.address, repository: 'team/app', tag: 'a' },
    { registry: proxy.address, repository: 'team/mirror', tag: 'a' },
  ];
  await pushSmallImage(known, source, 'a');
  service.grants.splice(0);
  const challenge = `Bearer realm="${service.realm}",service="${service.service}",error="invalid_token"`;
  const path = /mirror\/manifests\/a$/;
  proxy.inject({ method: 'PUT', path }, { kind: 'answer', status: 401, headers: { 'www-authenticate': challenge } });
  expect((await copyImage({ client: known, source, target, signal })).blobs.mounted).toBe(1);
  expect(service.grants.map(({ scopes }) => scopes.join(' '))).toContain(
    'repository:team/mirror:pull,push repository:team/app:pull',
  );
  expect(service.grants.filter(({ scopes }) => scopes.join() === 'repository:team/mirror:pull,push')).toHaveLength(2);
  for (const { token } of service.grants) expect(lines.join('')).not.toContain(token);
  expect(lines.join('')).not.toContain(TEST_LOGIN.password);
});
