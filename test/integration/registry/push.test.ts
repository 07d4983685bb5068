import { randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  type CredentialSource,
  createRegistryClient,
  NO_CREDENTIALS,
  type RegistryClient,
  type RegistryLimits,
} from '../../../src/registry/index.ts';
import { Secret } from '../../../src/telemetry/index.ts';
import { newBlobFile, sourceOf } from '../../support/blob-file.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startDistribution, startOlareg, TEST_LOGIN } from '../../support/registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { newTestImage } from '../../support/test-image.ts';
import { TokenService } from '../../support/token-service.ts';

const signal = new AbortController().signal;
const MIB = 1024 * 1024;
/** Small enough that a few megabytes go in chunks. */
const limits: Partial<RegistryLimits> = { monolithicBytes: MIB, chunkBytes: 2 * MIB, pauseMs: 10, maxPauseMs: 50 };
const login: CredentialSource = {
  get: () =>
    Promise.resolve({ kind: 'basic', username: TEST_LOGIN.username, password: new Secret(TEST_LOGIN.password) }),
};

interface Started extends AsyncDisposable {
  readonly registry: RunningRegistry;
  readonly credentials: CredentialSource;
}

async function startWithTokens(): Promise<Started> {
  const stack = new AsyncDisposableStack();
  const service = stack.use(await TokenService.start(TEST_LOGIN));
  const registry = stack.use(await startDistribution({ kind: 'token', service }));
  return { registry, credentials: login, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const kinds: readonly [name: string, start: () => Promise<Started>][] = [
  ['olareg', async () => withRegistry(await startOlareg(), NO_CREDENTIALS)],
  ['distribution with Basic', async () => withRegistry(await startDistribution({ kind: 'basic' }), login)],
  ['distribution with Bearer', startWithTokens],
];

describe.for(kinds)('pushing to %s', ([, start]) => {
  let started: Started;
  let proxy: FaultProxy;
  let client: RegistryClient;
  let scratch: TemporaryDirectory;
  const newRepository = () => ({ registry: proxy.address, repository: `test/${randomUUID()}` });

  beforeAll(async () => {
    started = await start();
    proxy = await FaultProxy.start(started.registry.address);
    client = createRegistryClient({ credentials: started.credentials, limits });
    scratch = await temporaryDirectory('push');
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await started[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });

  test('the registry answers a ping', async () => {
    await client.ping(proxy.address, { signal });
  });

  test.for([5 * MIB + 3, 1000])('an upload of %i bytes that the registry forgot is begun again', async (sizeBytes) => {
    const repository = newRepository();
    const blob = sourceOf(await newBlobFile(scratch.path, sizeBytes));
    const begun: string[] = [];
    const onBegun = async (uploadUrl: string) => {
      begun.push(uploadUrl);
      if (begun.length === 1) expect(await client.dropUpload(repository, uploadUrl)).toBe(true);
    };
    expect(await client.pushBlob(repository, blob, { onBegun, signal })).toBe('sent');
    expect(begun).toHaveLength(2);
    expect(await client.headBlob(repository, blob.digest, { signal })).toEqual({ sizeBytes: blob.sizeBytes });
    // A finished upload is none any more, and its blob stays.
    for (const uploadUrl of begun) expect(await client.dropUpload(repository, uploadUrl)).toBe(true);
    expect(await client.headBlob(repository, blob.digest, { signal })).toEqual({ sizeBytes: blob.sizeBytes });
    const away = { registry: '127.0.0.1:1', repository: 'a' };
    expect(await client.dropUpload(away, 'http://127.0.0.1:1/v2/a/blobs/uploads/b')).toBe(false);
  });

  test('an image is pushed and can be fetched, and a second push sends no blob byte', async () => {
    const repository = newRepository();
    const image = await newTestImage(scratch.path, [5 * MIB + 17, 300_000, 1]);
    const push = () => Promise.all(image.blobs.map((blob) => client.pushBlob(repository, blob, { signal })));
    expect(await push()).toEqual(['sent', 'sent', 'sent', 'sent']);
    const put = await client.putManifest(repository, 'v1', image.manifest, image.mediaType, { signal });
    expect(put).toEqual({ mediaType: image.mediaType, digest: digestOf(image.manifest), size: image.manifest.length });

    expect(await client.headManifest(repository, 'v1', { signal })).toEqual(put);
    const fetched = await client.getManifest(repository, 'v1', { signal });
    expect(fetched).toMatchObject({ digest: put.digest, mediaType: image.mediaType });
    expect(Buffer.from(fetched.bytes)).toEqual(Buffer.from(image.manifest));
    expect(await client.getManifest(repository, put.digest, { signal })).toEqual(fetched);
    for (const { digest, bytes, sizeBytes } of image.layers) {
      expect(await client.headBlob(repository, digest, { signal })).toEqual({ sizeBytes });
      expect(digestOf(await buffer(await client.getBlobStream(repository, digest, { signal })))).toBe(digestOf(bytes));
    }
    expect(await client.listTags(repository, { signal })).toEqual(['v1']);

    proxy.takeRequests();
    expect(await push()).toEqual(['present', 'present', 'present', 'present']);
    const requests = proxy.takeRequests();
    expect(requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'HEAD', 'HEAD']);
    expect(requests.reduce((sum, { requestBytes }) => sum + requestBytes, 0)).toBe(0);
  });

  test('each blob byte goes over the wire once, small blobs in one request and large ones in chunks', async () => {
    const repository = newRepository();
    const [small, large] = [await newBlobFile(scratch.path, 1000), await newBlobFile(scratch.path, 5 * MIB)];
    proxy.takeRequests();
    await client.pushBlob(repository, sourceOf(small), { signal });
    const smallRequests = proxy.takeRequests().filter(({ status }) => status !== 401);
    expect(smallRequests.map(({ method, requestBytes }) => [method, requestBytes])).toEqual([
      ['HEAD', 0],
      ['POST', 0],
      ['PUT', 1000],
    ]);
    const progress: number[] = [];
    await client.pushBlob(repository, sourceOf(large), { signal, onProgress: (sentBytes) => progress.push(sentBytes) });
    expect(proxy.takeRequests().map(({ method, requestBytes }) => [method, requestBytes])).toEqual([
      ['HEAD', 0],
      ['POST', 0],
      ['PATCH', 2 * MIB],
      ['PATCH', 2 * MIB],
      ['PATCH', MIB],
      ['PUT', 0],
    ]);
    expect(progress).toEqual(progress.toSorted((left, right) => left - right));
    expect(progress.at(-1)).toBe(5 * MIB);
  });

  test('a blob of another repository is mounted, not sent', async () => {
    const [from, to] = [newRepository(), newRepository()];
    const blob = await newBlobFile(scratch.path, 3 * MIB);
    await client.pushBlob(from, sourceOf(blob), { signal });
    proxy.takeRequests();
    const mountFrom = ['test/there-is-none', from.repository];
    expect(await client.pushBlob(to, sourceOf(blob), { mountFrom, signal })).toBe('mounted');
    expect(proxy.takeRequests().reduce((sum, { requestBytes }) => sum + requestBytes, 0)).toBe(0);
    expect(await client.headBlob(to, blob.digest, { signal })).toEqual({ sizeBytes: 3 * MIB });
  });

  test('a blob that no repository has is sent, by the upload that the mount opened', async () => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 5000);
    expect(await client.pushBlob(repository, sourceOf(blob), { mountFrom: ['test/there-is-none'], signal })).toBe(
      'sent',
    );
    expect(digestOf(await buffer(await client.getBlobStream(repository, blob.digest, { signal })))).toBe(blob.digest);
  });

  test('an upload that is cut goes on at the byte the registry has', async () => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 6 * MIB);
    await client.headBlob(repository, blob.digest, { signal });
    proxy.takeRequests();
    proxy.inject({ method: 'PATCH' }, { kind: 'cutRequest', afterBytes: MIB });
    expect(await client.pushBlob(repository, sourceOf(blob), { signal })).toBe('sent');
    const patches = proxy.takeRequests().filter(({ method }) => method === 'PATCH');
    expect(patches[0]?.fault).toBe('cutRequest');
    const resumedAt = Number(String(patches[1]?.headers['content-range']).split('-')[0]);
    expect(resumedAt, 'the registry keeps what came before the cut').toBeGreaterThan(0);
    expect(digestOf(await buffer(await client.getBlobStream(repository, blob.digest, { signal })))).toBe(blob.digest);
  });

  test.for(['PATCH', 'PUT', 'POST'] as const)('a lost answer to a %s does not lose the blob', async (method) => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 3 * MIB);
    proxy.inject({ method }, { kind: 'loseAnswer' });
    expect(await client.pushBlob(repository, sourceOf(blob), { signal })).toBe('sent');
    expect(digestOf(await buffer(await client.getBlobStream(repository, blob.digest, { signal })))).toBe(blob.digest);
  });

  test('a registry that knows no chunks gets the blob in one request', async () => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 3 * MIB);
    proxy.takeRequests();
    proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 405 });
    expect(await client.pushBlob(repository, sourceOf(blob), { signal })).toBe('sent');
    const puts = proxy.takeRequests().filter(({ method }) => method === 'PUT');
    expect(puts.map(({ requestBytes }) => requestBytes)).toEqual([3 * MIB]);
  });

  test('bytes that are not what their digest says are refused by the registry', async () => {
    const repository = newRepository();
    for (const sizeBytes of [1000, 3 * MIB]) {
      const [blob, other] = [await newBlobFile(scratch.path, sizeBytes), await newBlobFile(scratch.path, sizeBytes)];
      const wrong = { ...sourceOf(blob), path: other.path };
      await expect(client.pushBlob(repository, wrong, { signal })).rejects.toMatchObject({ code: 'BLOB_MISMATCH' });
      expect(await client.headBlob(repository, blob.digest, { signal })).toBeUndefined();
    }
  });

  test('a file of another size or no file is found before anything is sent', async () => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 1000);
    proxy.takeRequests();
    await expect(client.pushBlob(repository, { ...sourceOf(blob), sizeBytes: 999 }, { signal })).rejects.toMatchObject({
      code: 'BLOB_MISMATCH',
    });
    await expect(
      client.pushBlob(repository, { ...sourceOf(blob), path: `${blob.path}.none` }, { signal }),
    ).rejects.toMatchObject({ code: 'BLOB_MISSING' });
    expect(proxy.takeRequests()).toEqual([]);
  });

  test('a manifest that names a blob the registry lacks is refused', async () => {
    const repository = newRepository();
    const image = await newTestImage(scratch.path, [10]);
    await expect(
      client.putManifest(repository, 'v1', image.manifest, image.mediaType, { signal }),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^(BLOB_MISSING|REGISTRY_REFUSED)$/) as string,
    });
    expect(await client.headManifest(repository, 'v1', { signal })).toBeUndefined();
  });

  test('an aborted push ends with its reason and cancels the upload', async () => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 6 * MIB);
    const abort = new AbortController();
    const reason = new Error('enough');
    proxy.takeRequests();
    const push = client.pushBlob(repository, sourceOf(blob), {
      signal: abort.signal,
      onProgress: (sentBytes) => {
        if (sentBytes > 2 * MIB) abort.abort(reason);
      },
    });
    await expect(push).rejects.toBe(reason);
    expect(proxy.takeRequests().at(-1)).toMatchObject({
      method: 'DELETE',
      status: expect.toBeOneOf([202, 204]) as number,
    });
    expect(await client.headBlob(repository, blob.digest, { signal })).toBeUndefined();
  });

  test.for([
    [{ offset: 0, length: 100 }, 0, 100],
    [{ offset: 999_990, length: 100 }, 999_990, 1_000_000],
    [{ offset: 500_000 }, 500_000, 1_000_000],
    [{ offset: 5, length: 0 }, 5, 5],
  ] as const)('range %j of a blob is bytes %i to %i', async ([range, start, end]) => {
    const repository = newRepository();
    const blob = await newBlobFile(scratch.path, 1_000_000);
    await client.pushBlob(repository, sourceOf(blob), { signal });
    const part = await buffer(await client.getBlobStream(repository, blob.digest, { range, signal }));
    expect(part.equals(blob.bytes.subarray(start, end))).toBe(true);
  });

  test('what is not there is not found', async () => {
    const repository = newRepository();
    const digest = digestOf(randomUUID());
    expect(await client.headBlob(repository, digest, { signal })).toBeUndefined();
    expect(await client.headManifest(repository, 'v1', { signal })).toBeUndefined();
    expect(await client.listTags(repository, { signal })).toEqual([]);
    await expect(client.getManifest(repository, 'v1', { signal })).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
    });
    await expect(client.getBlobStream(repository, digest, { signal })).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
    });
  });
});

function withRegistry(registry: RunningRegistry, credentials: CredentialSource): Started {
  return { registry, credentials, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}
