import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openChannel } from '../../../src/buildkit/channel.ts';
import type { BuildkitClient, LandingPath } from '../../../src/buildkit/index.ts';
import { readBlobToFile } from '../../../src/buildkit/landing/content-reader.ts';
import { digestOf, hexOf } from '../../../src/digest/index.ts';
import { serviceSetting } from '../../support/services.ts';
import { BASE, build, connect, failureOf, fresh, runStep, Workplace } from './harness.ts';
import { SocketProxy } from './socket-proxy.ts';

let client: BuildkitClient;
let place: Workplace;
const signal = AbortSignal.timeout(110_000);

beforeAll(async () => {
  client = await connect();
  place = await Workplace.open();
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

async function contextDir(): Promise<string> {
  // 3 MB that are no zeros: more than one message, less than a second.
  const script = `/bin/busybox dd if=/dev/urandom of=/data bs=64k count=48; echo ${fresh()}`;
  return await place.context({ Dockerfile: `${BASE}${runStep(script)}` }, `context-${fresh()}`);
}

describe.for<[name: string, paths: readonly LandingPath[]]>([
  ['link', ['link']],
  ['read', ['read']],
  ['session', ['session']],
])('by %s alone', ([name, paths]) => {
  test('every blob lands, whole and right', async () => {
    const { image, result } = await build(client, place, { contextDir: await contextDir() }, { paths });
    expect(new Set(result.blobs.map(({ via }) => via))).toEqual(new Set([name]));
    const { config, layers } = await image.manifest();
    const named = [result.descriptor, config, ...layers].map(({ digest }) => digest);
    expect(result.blobs.map(({ digest }) => digest).toSorted()).toEqual(named.toSorted());
    await image.layout.setTag('latest', result.descriptor, { signal });
    expect(await image.layout.verify({ signal })).toMatchObject({ problems: [], blobs: named.length });
  });

  test('a second build into the same layout finds them there', async () => {
    const request = { contextDir: await contextDir() };
    const { image } = await build(client, place, request, { paths });
    const { blobs } = await client.build(request, { landing: image.layout, signal, paths });
    expect(new Set(blobs.map(({ via }) => via))).toEqual(new Set(['present']));
  });
});

test('layers come uncompressed: their digests are the diffIDs', async () => {
  const { image } = await build(client, place, { contextDir: await contextDir() });
  const [{ layers }, { rootfs }] = [await image.manifest(), await image.config()];
  expect(layers.map(({ mediaType }) => mediaType)).toEqual(layers.map(() => 'application/vnd.oci.image.layer.v1.tar'));
  expect(layers.map(({ digest }) => digest)).toEqual(rootfs.diff_ids);
});

test('a linked blob shares its bytes with the daemon', async () => {
  const { result, image } = await build(client, place, { contextDir: await contextDir() }, { paths: ['link'] });
  const source = join(serviceSetting('CLIPYARD_BUILDKIT_CONTENT'), 'blobs', 'sha256', hexOf(result.descriptor.digest));
  expect((await stat(image.layout.blobPath(result.descriptor.digest))).ino).toBe((await stat(source)).ino);
});

test('where linking cannot work, blobs are read', async () => {
  await using other = await connect({ contentDir: join(place.path, 'not-there') });
  const { result } = await build(other, place, { contextDir: await contextDir() });
  expect(new Set(result.blobs.map(({ via }) => via))).toEqual(new Set(['read']));
});

test('blobs the caller has elsewhere do not come over', async () => {
  const request = { contextDir: await contextDir() };
  const first = await build(client, place, request);
  const had = new Set((await first.image.manifest()).layers.map(({ digest }) => digest));
  const { image, result } = await build(client, place, request, {
    have: ({ digest }) => Promise.resolve(had.has(digest)),
  });
  for (const { digest, sizeBytes, via } of result.blobs) {
    expect(via === 'elsewhere').toBe(had.has(digest));
    expect(await image.layout.hasBlob({ digest, size: sizeBytes })).toBe(!had.has(digest));
  }
});

test('with no way left the build fails and says which blob', async () => {
  const failure = await failureOf(build(client, place, { contextDir: await contextDir() }, { paths: [] }));
  expect(failure.code).toBe('BLOB_MISSING');
});

test('a read that breaks goes on where it stopped', async () => {
  const { image, result } = await build(client, place, { contextDir: await contextDir() });
  const layer = (await image.manifest()).layers.at(-1);
  if (layer === undefined) throw new Error('no layer');
  await using proxy = await SocketProxy.start(join(place.path, 'cut.sock'), serviceSetting('CLIPYARD_BUILDKIT'));
  proxy.cutNextAfter(1_500_000);
  const channel = openChannel(proxy.address);
  try {
    const path = await image.layout.temporaryPath();
    let last = 0;
    const expected = { digest: layer.digest, sizeBytes: layer.size };
    const onProgress = (doneBytes: number) => {
      expect(doneBytes).toBeGreaterThan(last);
      last = doneBytes;
    };
    await readBlobToFile(channel, expected, path, { signal, onProgress });
    expect((await stat(path)).size).toBe(layer.size);
    expect(last).toBe(layer.size);
  } finally {
    channel.close();
  }
  expect(result.descriptor.size).toBeGreaterThan(0);
});

test('a blob that the daemon does not have is BLOB_MISSING and leaves no file', async () => {
  const channel = openChannel(serviceSetting('CLIPYARD_BUILDKIT'));
  const path = join(place.path, 'nothing');
  const expected = { digest: digestOf(fresh()), sizeBytes: 1 };
  try {
    const failure = await failureOf(readBlobToFile(channel, expected, path, { signal, onProgress: () => undefined }));
    expect(failure.code).toBe('BLOB_MISSING');
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  } finally {
    channel.close();
  }
});
