import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/config/index.ts';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { indexImage } from '../../../src/jobs/index.ts';
import { nativeToolPaths } from '../../../src/native/index.ts';
import { createRegistryClient, parseReference, type RegistryClient } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { tarStream } from '../../support/corpus/tar-entry.ts';
import type { Fault } from '../../support/fault.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const tools = nativeToolPaths(process.env, join(import.meta.dirname, '../../..'));
const plains = [1, 2, 3, 4].map((at) =>
  tarStream([{ name: `file-${at}`, type: '0', mode: 0o644, data: randomBytes(1_500_000) }]),
);
const layers = plains.map((plain) => gzipSync(plain, { level: 1 }));

let registry: RunningRegistry;
let proxy: FaultProxy;
let client: RegistryClient;
let scratch: TemporaryDirectory;
let repository: string;

beforeAll(async () => {
  registry = await startOlareg();
});
afterAll(() => registry[Symbol.asyncDispose]());
beforeEach(async () => {
  proxy = await FaultProxy.start(registry.address);
  client = createRegistryClient({ limits: { attempts: 3, pauseMs: 10, maxPauseMs: 20 } });
  scratch = await temporaryDirectory('index-from-registry');
  repository = `test/${randomUUID()}`;
  await pushImage(layers);
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

/** The layers may be others than the configuration says. */
async function pushImage(blobs: readonly Buffer[]): Promise<void> {
  const target = { registry: registry.address, repository };
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: plains.map((plain) => digestOf(plain)) },
    }),
  );
  const push = async (bytes: Buffer, mediaType: string) => {
    const digest: Digest = digestOf(bytes);
    await client.pushBlob(target, { digest, sizeBytes: bytes.length, bytes }, { signal });
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: await push(config, 'application/vnd.oci.image.config.v1+json'),
    layers: await Promise.all(blobs.map((blob) => push(blob, 'application/vnd.oci.image.layer.v1.tar+gzip'))),
  };
  await client.putManifest(target, 'v1', Buffer.from(JSON.stringify(manifest)), manifest.mediaType, { signal });
}

const index = (engine: 'native' | 'portable' = 'native', name = engine) => {
  const reference = parseReference(`${proxy.address}/${repository}:v1`);
  return indexImage(
    {
      source: { kind: 'docker', reference },
      storage: reference,
      output: join(scratch.path, `${name}.clip`),
      platform: { os: 'linux', architecture: 'amd64' },
      platformAsked: false,
      engine,
      jobs: 3,
      chunkBytes: 256 * 1024,
      useCache: true,
      format: 'clipyard',
    },
    {
      client,
      tools,
      stateDir: join(scratch.path, 'state'),
      packCache: { maxBytes: 1e9, shared: undefined },
      limits: DEFAULT_LIMITS,
      log: silentLog(),
      report: () => undefined,
      signal,
    },
  );
};
const layerPath = (at: number) => new RegExp(digestOf(layers[at] ?? Buffer.alloc(0)));
const layerGets = () =>
  proxy.takeRequests().filter(({ path }) => layers.some((layer) => path.includes(digestOf(layer))));
/** What is left beside the output: nothing may be. */
const leftOver = async () => [
  ...(await readdir(join(scratch.path, 'state/tmp'))),
  ...(await readdir(scratch.path)).filter((name) => name !== 'state' && !/^(native|portable|again)\.clip$/.test(name)),
];

test('each layer byte comes once and is not written down; the second time none comes', async () => {
  const result = await index();
  expect(result.layers.map(({ digest }) => digest)).toEqual(layers.map((layer) => digestOf(layer)));
  const gets = layerGets();
  expect(gets.length).toBe(4);
  expect(gets.reduce((sum, { responseBytes }) => sum + responseBytes, 0)).toBe(
    layers.reduce((sum, { length }) => sum + length, 0),
  );
  const again = await index('native', 'again' as 'native');
  expect(again.archive.digest).toBe(result.archive.digest);
  expect(layerGets()).toEqual([]);
  expect(await leftOver()).toEqual([]);
});

test('a cached index that turned out damaged costs its layer again, nothing else', async () => {
  const { archive } = await index();
  layerGets();
  const packs = join(scratch.path, 'state/packs/packs');
  const [name] = await readdir(packs);
  const path = join(packs, name ?? '', 'index');
  const bytes = await readFile(path);
  await rm(path); // what is pinned elsewhere stays as it is
  await writeFile(path, bytes.fill(7, 100, 200));
  await rm(join(scratch.path, 'state/packs/archives'), { recursive: true }); // one that is there needs no index
  const again = await index();
  expect(again.archive.digest).toBe(archive.digest);
  expect(layerGets()).toHaveLength(1);
  expect(await leftOver()).toEqual([]);
});

test('connections that break on the way change nothing', async () => {
  for (const at of [0, 1, 2, 3]) {
    proxy.inject({ path: layerPath(at) }, { kind: 'cutResponse', afterBytes: 400_000 });
    proxy.inject({ path: layerPath(at) }, { kind: 'cutResponse', afterBytes: 10_000 });
  }
  await index();
  const ranges = layerGets().map(({ range }) => range ?? 'whole');
  expect(ranges.filter((range) => range === 'whole')).toHaveLength(4);
  expect(ranges.filter((range) => /^bytes=\d+-$/.test(range))).toHaveLength(8);
  expect((await readFile(join(scratch.path, 'native.clip'))).length).toBeGreaterThan(0);
});

test.for([
  ['answers 503 for good', { kind: 'answer', status: 503 }, 'REGISTRY_UNAVAILABLE'],
  ['refuses it', { kind: 'answer', status: 403 }, 'REGISTRY_DENIED'],
  ['flips a bit', { kind: 'corruptResponse', atByte: 700_000 }, 'BLOB_MISMATCH'],
  ['serves less and says so', { kind: 'shortenResponse', toBytes: 700_000 }, 'BLOB_MISMATCH'],
  ['serves a page', { kind: 'answer', status: 200, body: '<html>log in</html>' }, 'BLOB_MISMATCH'],
] as const satisfies readonly (readonly [string, Fault, string])[])(
  'a registry that %s for a layer is told as that, and nothing is left',
  async ([, fault, code]) => {
    proxy.inject({ path: layerPath(2) }, fault, { times: 100 });
    await expect(index()).rejects.toMatchObject({ code });
    expect(await leftOver()).toEqual([]);
  },
);

test('a layer that is another than the configuration says is DIFF_ID_MISMATCH', async () => {
  await pushImage(layers.toReversed());
  await expect(index()).rejects.toMatchObject({ code: 'DIFF_ID_MISMATCH' });
});

test('the portable engine indexes from a registry too', async () => {
  const result = await index('portable');
  expect(result.layers.map(({ digest }) => digest)).toEqual(layers.map((layer) => digestOf(layer)));
});
