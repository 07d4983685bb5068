import { randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { createRegistryClient, type RegistryClient, type RegistryLimits } from '../../../src/registry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { GrowingFile } from '../../support/growing-file.ts';
import { type RunningRegistry, startDistribution, startOlareg } from '../../support/registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
const MIB = 1024 * 1024;
const GONE = [400, 404];
const limits: Partial<RegistryLimits> = {
  monolithicBytes: MIB,
  chunkBytes: 3 * MIB,
  pauseMs: 10,
  maxPauseMs: 50,
  attempts: 4,
};

describe.for([
  ['olareg', startOlareg],
  ['distribution', () => startDistribution({ kind: 'none' })],
] as const)('pushing to %s while the blob is written', ([, start]) => {
  let registry: RunningRegistry;
  let proxy: FaultProxy;
  let client: RegistryClient;
  let scratch: TemporaryDirectory;
  let repository: { registry: string; repository: string };

  beforeAll(async () => {
    registry = await start();
    scratch = await temporaryDirectory('growing');
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    proxy = await FaultProxy.start(registry.address);
    client = createRegistryClient({ limits });
    repository = { registry: proxy.address, repository: `test/${randomUUID()}` };
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  const requests = (method: string) => proxy.requests.filter((request) => request.method === method);
  const answered = (method: string, count: number) =>
    vi.waitFor(
      () => {
        expect(requests(method).filter(({ status }) => status !== undefined).length).toBeGreaterThanOrEqual(count);
      },
      { timeout: 20_000 },
    );
  const fetched = async (file: GrowingFile) =>
    digestOf(await buffer(await client.getBlobStream(repository, file.digest, { signal })));
  /** What the registry says of the upload now: GONE when it has dropped it (olareg says 400). */
  const uploadStatus = async () => {
    const path = proxy.requests.find(({ path: at }) => /\/uploads\/.+/.test(at))?.path ?? '';
    const query = proxy.requests.findLast(({ path: at }) => at === path)?.query ?? '';
    return (await fetch(`http://${registry.address}${path}${query}`)).status;
  };

  test('bytes leave before the blob is whole, each once, and the digest comes last', async () => {
    const file = await GrowingFile.create(scratch.path, 6 * MIB + 11);
    using blob = file.blob;
    const pushed = client.pushGrowing(repository, blob, { signal });
    await file.grow(MIB - 1);
    await file.grow(2 * MIB);
    await answered('PATCH', 1);
    expect(requests('PUT')).toEqual([]);
    await file.grow(5 * MIB);
    await answered('PATCH', 2);
    await file.finish();
    expect(await pushed).toEqual({ outcome: 'sent', sentBytes: 6 * MIB + 11 });
    expect(proxy.requests.map(({ method, requestBytes }) => [method, requestBytes])).toEqual([
      ['POST', 0],
      ['PATCH', 2 * MIB],
      ['PATCH', 3 * MIB],
      ['HEAD', 0],
      ['PATCH', MIB + 11],
      ['PUT', 0],
    ]);
    expect(await fetched(file)).toBe(file.digest);
  });

  test('the file may be moved away while it is read', async () => {
    const file = await GrowingFile.create(scratch.path, 5 * MIB);
    using blob = file.blob;
    const pushed = client.pushGrowing(repository, blob, { signal });
    await file.grow(2 * MIB);
    await answered('PATCH', 1);
    await file.grow(5 * MIB);
    await rename(file.path, `${file.path}.adopted`);
    blob.finish({ digest: file.digest, sizeBytes: 5 * MIB });
    expect((await pushed).outcome).toBe('sent');
    expect(await fetched(file)).toBe(file.digest);
  });

  test('an upload that is cut goes on at the byte the registry has', async () => {
    const file = await GrowingFile.create(scratch.path, 6 * MIB);
    using blob = file.blob;
    proxy.inject({ method: 'PATCH' }, { kind: 'cutRequest', afterBytes: MIB });
    const pushed = client.pushGrowing(repository, blob, { signal });
    await file.grow(3 * MIB);
    await answered('PATCH', 1);
    await file.finish();
    expect((await pushed).outcome).toBe('sent');
    const patches = requests('PATCH');
    expect(patches[0]?.fault).toBe('cutRequest');
    const resumedAt = Number(String(patches[1]?.headers['content-range']).split('-')[0]);
    expect(resumedAt, 'the registry keeps what came before the cut').toBeGreaterThan(0);
    expect(await fetched(file)).toBe(file.digest);
  });

  test('errors of the registry on the way are tried again', async () => {
    const file = await GrowingFile.create(scratch.path, 4 * MIB);
    using blob = file.blob;
    proxy.inject({ method: 'POST' }, { kind: 'answer', status: 429 });
    proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 503 });
    proxy.inject({ method: 'PATCH' }, { kind: 'loseAnswer' });
    proxy.inject({ method: 'PUT' }, { kind: 'loseAnswer' });
    const pushed = client.pushGrowing(repository, blob, { signal });
    await file.grow(3 * MIB);
    await file.finish();
    expect((await pushed).outcome).toBe('sent');
    expect(await fetched(file)).toBe(file.digest);
  });

  test.for([
    ['the first chunk', 405, 0],
    ['the second chunk', 416, 1],
  ] as const)('a registry that refuses %s gets the blob whole when it is finished', async ([, status, before]) => {
    const file = await GrowingFile.create(scratch.path, 5 * MIB);
    using blob = file.blob;
    const pushed = client.pushGrowing(repository, blob, { signal });
    await answeredIfAny(before, file);
    proxy.inject({ method: 'PATCH' }, { kind: 'answer', status }, { times: 100 });
    await file.grow(4 * MIB);
    await answered('PATCH', before + 1);
    await file.finish();
    expect((await pushed).outcome).toBe('sent');
    expect(requests('PUT').map(({ requestBytes }) => requestBytes)).toEqual([5 * MIB]);
    expect(await fetched(file)).toBe(file.digest);
  });

  const answeredIfAny = async (count: number, file: GrowingFile) => {
    if (count === 0) return;
    await file.grow(2 * MIB);
    await answered('PATCH', count);
  };

  test('a blob that turns out to be there is not sent further, and its upload is dropped', async () => {
    const file = await GrowingFile.create(scratch.path, 5 * MIB);
    using blob = file.blob;
    await file.grow(5 * MIB);
    const known = { digest: file.digest, sizeBytes: 5 * MIB };
    await client.pushBlob({ ...repository, registry: registry.address }, { ...known, path: file.path }, { signal });
    blob.grew(2 * MIB);
    const pushed = client.pushGrowing(repository, blob, { signal });
    await answered('PATCH', 1);
    blob.finish(known);
    expect(await pushed).toEqual({ outcome: 'present', sentBytes: 2 * MIB });
    expect(requests('PATCH')).toHaveLength(1);
    expect(requests('PUT')).toEqual([]);
    expect(GONE).toContain(await uploadStatus());
  });

  test.for(['between chunks', 'within a chunk'] as const)('stopped %s, it leaves no upload behind', async (when) => {
    const file = await GrowingFile.create(scratch.path, 6 * MIB);
    using blob = file.blob;
    const stop = new AbortController();
    if (when === 'within a chunk') proxy.inject({ method: 'PATCH' }, { kind: 'stallRequest', afterBytes: MIB });
    const pushed = client.pushGrowing(repository, blob, { signal: stop.signal });
    const outcome = expect(pushed).rejects.toThrow('enough');
    await file.grow(2 * MIB);
    if (when === 'between chunks') await answered('PATCH', 1);
    else
      await vi.waitFor(() => {
        expect(requests('PATCH')[0]?.requestBytes).toBeGreaterThanOrEqual(MIB);
      });
    stop.abort(new Error('enough'));
    await outcome;
    expect(requests('DELETE').length).toBeGreaterThan(0);
    expect(GONE).toContain(await uploadStatus());
  });

  test('a registry that does not let anybody push says so at once', async () => {
    const file = await GrowingFile.create(scratch.path, 6 * MIB);
    using blob = file.blob;
    proxy.inject({ method: 'POST' }, { kind: 'answer', status: 403 }, { times: 100 });
    const pushed = client.pushGrowing(repository, blob, { signal });
    const outcome = expect(pushed).rejects.toMatchObject({ code: 'REGISTRY_DENIED' });
    await file.grow(2 * MIB); // never finished
    await outcome;
  });

  test('bytes that are not what the writer says in the end are refused', async () => {
    const file = await GrowingFile.create(scratch.path, 3 * MIB);
    using blob = file.blob;
    const pushed = client.pushGrowing(repository, blob, { signal });
    await file.grow(3 * MIB);
    const wrong = digestOf('something else');
    blob.finish({ digest: wrong, sizeBytes: 3 * MIB });
    await expect(pushed).rejects.toMatchObject({ code: 'BLOB_MISMATCH', details: { digest: wrong } });
  });
});
