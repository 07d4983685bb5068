import { randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../../scripts/services/ports.ts';
import { digestOf } from '../../../src/digest/index.ts';
import { createRegistryClient, type RegistryClient, type RegistryLimits } from '../../../src/registry/index.ts';
import { type BlobFile, newBlobFile, sourceOf } from '../../support/blob-file.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { newTestImage } from '../../support/test-image.ts';

const signal = new AbortController().signal;
const MIB = 1024 * 1024;
const limits: Partial<RegistryLimits> = {
  pauseMs: 10,
  maxPauseMs: 50,
  attempts: 4,
  retryBudgetMs: 30_000,
  monolithicBytes: MIB,
  chunkBytes: 2 * MIB,
};
const blobs = /\/blobs\/sha256/;

let registry: RunningRegistry;
let proxy: FaultProxy;
let client: RegistryClient;
let impatient: RegistryClient;
let scratch: TemporaryDirectory;
let repository: { registry: string; repository: string };
let blob: BlobFile;

beforeAll(async () => {
  registry = await startOlareg();
  scratch = await temporaryDirectory('faults');
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});
beforeEach(async () => {
  proxy = await FaultProxy.start(registry.address);
  client = createRegistryClient({ limits });
  impatient = createRegistryClient({ limits: { ...limits, attempts: 1, stallTimeoutMs: 1000 } });
  repository = { registry: proxy.address, repository: `test/${randomUUID()}` };
  blob = await newBlobFile(scratch.path, 500_000);
  await client.pushBlob({ ...repository, registry: registry.address }, sourceOf(blob), { signal });
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await impatient[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});

const fetchBlob = async (by: RegistryClient = client) =>
  await buffer(await by.getBlobStream(repository, blob.digest, { signal }));

test('throttling is obeyed and then forgotten', async () => {
  proxy.inject({ path: blobs }, { kind: 'answer', status: 429, headers: { 'retry-after': '0' } }, { times: 2 });
  expect((await fetchBlob()).equals(blob.bytes)).toBe(true);
  expect(proxy.takeRequests().map(({ status }) => status)).toEqual([429, 429, 200]);
});

test('throttling that does not end is REGISTRY_THROTTLED', async () => {
  proxy.inject({ path: blobs }, { kind: 'answer', status: 429 }, { times: 100 });
  await expect(fetchBlob()).rejects.toMatchObject({ code: 'REGISTRY_THROTTLED', details: { status: 429 } });
  expect(proxy.takeRequests()).toHaveLength(4);
});

test('a Retry-After beyond the budget is not waited for', async () => {
  proxy.inject({ path: blobs }, { kind: 'answer', status: 429, headers: { 'retry-after': '3600' } }, { times: 100 });
  await expect(fetchBlob()).rejects.toMatchObject({ code: 'REGISTRY_THROTTLED', details: { retryAfterMs: 3_600_000 } });
  expect(proxy.takeRequests()).toHaveLength(1);
});

test('an upload that is throttled goes on', async () => {
  const large = await newBlobFile(scratch.path, 5 * MIB);
  proxy.inject({ method: 'POST' }, { kind: 'answer', status: 429 });
  proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 429 });
  proxy.inject({ method: 'PUT' }, { kind: 'answer', status: 503 });
  expect(await client.pushBlob(repository, sourceOf(large), { signal })).toBe('sent');
  expect(await client.headBlob(repository, large.digest, { signal })).toEqual({ sizeBytes: 5 * MIB });
});

test.for([500, 502, 503, 504])(
  'status %i is tried again, and is REGISTRY_UNAVAILABLE when it stays',
  async (status) => {
    proxy.inject({ path: blobs }, { kind: 'answer', status }, { times: 1 });
    expect((await fetchBlob()).equals(blob.bytes)).toBe(true);
    proxy.inject({ path: blobs }, { kind: 'answer', status, body: '<html>bad gateway</html>' }, { times: 100 });
    await expect(fetchBlob()).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE', details: { status } });
  },
);

test('a registry that never answers is REGISTRY_STALLED', async () => {
  proxy.inject({ path: blobs }, { kind: 'stall' });
  await expect(fetchBlob(impatient)).rejects.toMatchObject({ code: 'REGISTRY_STALLED' });
});

test('a registry that stops in the middle of a blob is REGISTRY_STALLED, and with another try the blob is whole', async () => {
  proxy.inject({ path: blobs }, { kind: 'stallResponse', afterBytes: 200_000 });
  await expect(fetchBlob(impatient)).rejects.toMatchObject({ code: 'REGISTRY_STALLED' });
  await using patient = createRegistryClient({ limits: { ...limits, stallTimeoutMs: 1000 } });
  proxy.inject({ path: blobs }, { kind: 'stallResponse', afterBytes: 200_000 });
  proxy.takeRequests();
  expect((await fetchBlob(patient)).equals(blob.bytes)).toBe(true);
  expect(proxy.takeRequests().map(({ range }) => range)).toEqual([undefined, 'bytes=200000-']);
});

test('a registry that stops taking bytes is REGISTRY_STALLED', async () => {
  const large = await newBlobFile(scratch.path, 40 * MIB);
  await using slow = createRegistryClient({
    limits: { ...limits, chunkBytes: 40 * MIB, attempts: 1, stallTimeoutMs: 1000 },
  });
  proxy.inject({ method: 'PATCH' }, { kind: 'stallRequest', afterBytes: MIB });
  await expect(slow.pushBlob(repository, sourceOf(large), { signal })).rejects.toMatchObject({
    code: 'REGISTRY_STALLED',
  });
});

test('a slow registry is not a stalled one', async () => {
  proxy.inject({ path: blobs }, { kind: 'delay', delayMs: 300 });
  expect((await fetchBlob(impatient)).equals(blob.bytes)).toBe(true);
});

test('a registry that nobody runs is REGISTRY_UNAVAILABLE', async () => {
  const nobody = { registry: `127.0.0.1:${await freePort()}`, repository: 'a' };
  await expect(client.headBlob(nobody, blob.digest, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAVAILABLE',
    retryable: true,
  });
  await expect(client.ping(nobody.registry, { signal })).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' });
});

test('a blob whose connection is cut again and again is fetched to its end', async () => {
  for (let cut = 0; cut < 8; cut++) proxy.inject({ path: blobs }, { kind: 'cutResponse', afterBytes: 50_000 });
  expect((await fetchBlob()).equals(blob.bytes)).toBe(true);
  expect(proxy.takeRequests().map(({ range }) => range)[1]).toMatch(/^bytes=\d+-$/);
});

test('a range whose connection is cut is fetched to its end and not further', async () => {
  proxy.inject({ path: blobs }, { kind: 'cutResponse', afterBytes: 10_000 });
  const part = await buffer(
    await client.getBlobStream(repository, blob.digest, { range: { offset: 1000, length: 40_000 }, signal }),
  );
  expect(part.equals(blob.bytes.subarray(1000, 41_000))).toBe(true);
  expect(proxy.takeRequests().map(({ range }) => range)).toEqual([
    'bytes=1000-40999',
    expect.stringMatching(/^bytes=\d+-40999$/),
  ]);
});

test.for(['corruptResponse', 'shortenResponse'] as const)(
  'wrong bytes from the registry (%s) are BLOB_MISMATCH',
  async (kind) => {
    proxy.inject({ path: blobs }, kind === 'corruptResponse' ? { kind, atByte: 250_000 } : { kind, toBytes: 250_000 });
    await expect(fetchBlob()).rejects.toMatchObject({ code: 'BLOB_MISMATCH', details: { digest: blob.digest } });
  },
);

test('a page instead of a blob is BLOB_MISMATCH, a page instead of a manifest is named as such', async () => {
  const page = {
    kind: 'answer',
    status: 200,
    headers: { 'content-type': 'text/html' },
    body: '<html>please log in</html>',
  } as const;
  proxy.inject({ path: blobs }, page);
  await expect(fetchBlob()).rejects.toMatchObject({ code: 'BLOB_MISMATCH' });
  proxy.inject({ path: /manifests/ }, page);
  await expect(client.getManifest(repository, 'v1', { signal })).rejects.toMatchObject({
    code: 'REGISTRY_PROTOCOL',
    message: expect.stringContaining('text/html') as string,
  });
  proxy.inject({ path: /tags/ }, page);
  await expect(client.listTags(repository, { signal })).rejects.toMatchObject({ code: 'REGISTRY_PROTOCOL' });
});

test('a manifest with another digest than asked for, or than the registry says, is BLOB_MISMATCH', async () => {
  const image = await newTestImage(scratch.path, []);
  const digest = digestOf(image.manifest);
  for (const source of image.blobs) await client.pushBlob(repository, source, { signal });
  await client.putManifest(repository, 'v1', image.manifest, image.mediaType, { signal });
  for (const name of [digest, 'v1']) {
    proxy.inject({ path: /manifests/ }, { kind: 'corruptResponse', atByte: 30 });
    await expect(client.getManifest(repository, name, { signal })).rejects.toMatchObject({ code: 'BLOB_MISMATCH' });
  }
  expect((await client.getManifest(repository, 'v1', { signal })).digest).toBe(digest);
  await expect(
    client.putManifest(repository, digestOf('other'), image.manifest, image.mediaType, { signal }),
  ).rejects.toMatchObject({ code: 'BLOB_MISMATCH' });
});

test('a manifest larger than allowed is not read', async () => {
  const body = `{"schemaVersion":2,"x":"${'x'.repeat(5 * MIB)}"}`;
  proxy.inject({ path: /manifests/ }, { kind: 'answer', status: 200, body });
  await expect(client.getManifest(repository, 'v1', { signal })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
});

test('a blob of another size at the registry is not taken for ours', async () => {
  proxy.inject({ method: 'HEAD' }, { kind: 'answer', status: 200, headers: { 'content-length': '5' } });
  await expect(client.pushBlob(repository, sourceOf(blob), { signal })).rejects.toMatchObject({
    code: 'BLOB_MISMATCH',
  });
});

test('a registry that takes no byte of a chunk is given up', async () => {
  const large = await newBlobFile(scratch.path, 3 * MIB);
  proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 202, headers: { range: '0-0' } }, { times: 100 });
  await expect(client.pushBlob(repository, sourceOf(large), { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAVAILABLE',
  });
});

test('an upload that the registry has forgotten is begun again', async () => {
  const large = await newBlobFile(scratch.path, 5 * MIB);
  // The second chunk finds no upload, and neither does the question about it.
  proxy.inject({ method: 'GET', path: /uploads/ }, { kind: 'answer', status: 404 });
  let patches = 0;
  const onProgress = (sentBytes: number) => {
    if (sentBytes === 2 * MIB && patches++ === 0) proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 404 });
  };
  expect(await client.pushBlob(repository, sourceOf(large), { onProgress, signal })).toBe('sent');
  expect(proxy.takeRequests().filter(({ method }) => method === 'POST')).toHaveLength(2);
  expect(await client.headBlob(repository, large.digest, { signal })).toEqual({ sizeBytes: 5 * MIB });
});
