import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { readPointer, storeKeys } from '../../../src/jobs/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { imagesOf, MEDIA_TYPES, parseImageConfig, parseIndex, parseManifest } from '../../../src/oci/index.ts';
import { createRegistryClient, parseReference, type RegistryClient } from '../../../src/registry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { type TestTeam, testTeam } from '../../support/services/team.ts';

const { signal } = new AbortController();
const WRITES = new Set(['PUT', 'POST', 'PATCH', 'DELETE']);
const PLATFORMS = ['linux/amd64', 'linux/arm64'];

let registry: RunningRegistry;
let proxy: FaultProxy;
let team: TestTeam;
let client: RegistryClient;
/** An image of the service web that is not the newest. */
let older: string;

beforeAll(async () => {
  registry = await startOlareg();
  proxy = await FaultProxy.start(registry.address);
  team = await testTeam(proxy.address, ['base', 'web', 'worker']);
  client = createRegistryClient();
  const file = `registry: ${proxy.address}\norg: acme\nrepo: ${team.workspace}\nservices:\n`;
  const worker = `  - { name: worker, platforms: [${PLATFORMS.join(', ')}] }\n`;
  await team.write('clipyard.yaml', `${file}  - name: base\n  - name: web\n${worker}`);
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await team[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const where = (service: string) => parseReference(team.reference(service));
const manifestOf = (service: string, name: string) => client.getManifest(where(service), name, { signal });
const layersOf = async (service: string, tag: string) =>
  parseManifest((await manifestOf(service, tag)).bytes).layers.map(({ digest }) => digest);
const writes = () => proxy.takeRequests().filter(({ method }) => WRITES.has(method));
const fresh = (name: string) => ({ CLIPYARD_STATE: `${team.env['CLIPYARD_STATE'] ?? ''}-${name}` });

async function put(service: string, tag: string, from: string): Promise<void> {
  const { bytes, mediaType } = await manifestOf(service, from);
  await client.putManifest(where(service), tag, bytes, mediaType, { signal });
}

async function push(bytes: Buffer): Promise<{ readonly digest: ReturnType<typeof digestOf>; readonly size: number }> {
  const digest = digestOf(bytes);
  await client.pushBlob(where('worker'), { digest, sizeBytes: bytes.length, bytes }, { signal });
  return { digest, size: bytes.length };
}

test('D36: a base that moves after it was hashed is not what is built, and the next run sees it', async () => {
  expect((await team.run('--service', 'base', '--version', '1.0.0', '--push')).exitCode).toBe(0);
  await team.write('base/main.py', 'another base');
  expect((await team.run('--service', 'base', '--version', '1.1.0', '--push')).exitCode).toBe(0);
  await put('base', 'stable', '1.0.0');
  await team.write('web/Dockerfile', `FROM ${team.reference('base')}:stable\nCOPY . /app/\n`);

  // The first request is the hash's; BuildKit's first one finds the tag moved.
  const path = /\/base\/manifests\//;
  proxy.inject({ path }, { kind: 'delay', delayMs: 0 });
  proxy.inject({ path }, { kind: 'meanwhile', first: () => put('base', 'stable', '1.1.0') });
  const built = await team.run('--service', 'web', '--push');
  expect([built.exitCode, built.stderr]).toEqual([0, '']);
  expect((await manifestOf('base', 'stable')).digest).toBe((await manifestOf('base', '1.1.0')).digest);
  const [old] = await layersOf('base', '1.0.0');
  expect((await layersOf('web', 'latest'))[0]).toBe(old);
  older = (await manifestOf('web', 'latest')).digest;

  const again = await team.run('--service', 'web', '--push', '--explain');
  expect(again.stdout).toContain('[INFO] web: build (context-hash): the build context changed');
  const [now] = await layersOf('base', '1.1.0');
  expect((await layersOf('web', 'latest'))[0]).toBe(now);
  expect(now).not.toBe(old);
});

describe('D15: whether the registry still has the image that was built before', () => {
  let kept: string;
  beforeAll(async () => {
    kept = (await manifestOf('web', 'latest')).digest;
    await put('web', 'latest', older);
  });
  const asked = () => ({ method: 'HEAD', path: new RegExp(`/web/manifests/${kept}$`) });

  test('an answer that is no answer is told, and the image is built', async () => {
    proxy.inject(asked(), { kind: 'answer', status: 403 });
    const { exitCode, stdout } = await team.run('--service', 'web', '--push', '--explain');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(new RegExp(`\\[WARNING\\] The registry could not be asked for ${kept}: .*403`));
    expect(stdout).toContain('web: build (existence): the image built before is not kept here, and the registry could');
    expect((await manifestOf('web', 'latest')).digest).toBe(kept);
  });

  test('who stops the command is not answered by a build', async () => {
    await put('web', 'latest', older);
    const stop = new AbortController();
    const first = () => {
      stop.abort();
      return Promise.resolve();
    };
    proxy.inject(asked(), { kind: 'meanwhile', first });
    const { exitCode, stdout } = await team.runUntil(stop.signal, '--service', 'web', '--push');
    expect(exitCode).toBe(130);
    expect(stdout).not.toContain('could not be asked');
    expect(stdout).not.toContain('🔨');
    expect((await manifestOf('web', 'latest')).digest).toBe(older);
  });
});

describe('an image of two platforms', () => {
  test('is kept as an index, pushed whole, and has an archive for each', async () => {
    proxy.takeRequests();
    const built = await team.run('--service', 'worker');
    expect([built.exitCode, built.stderr, proxy.takeRequests()]).toEqual([0, '', []]);
    const pushed = await team.run('--service', 'worker', '--version', '1.0.0', '--push', '--explain');
    expect(pushed.exitCode).toBe(0);
    expect(pushed.stdout).toContain('worker: push-only (registry-digest)');
    const top = await manifestOf('worker', '1.0.0');
    const children = imagesOf(parseIndex(top.bytes));
    expect(children.map(({ platform }) => `${platform?.os}/${platform?.architecture}`).sort()).toEqual(PLATFORMS);
    for (const { digest } of children) expect((await manifestOf('worker', digest)).digest).toBe(digest);

    const store = openStore(team.env['CLIPYARD_STORE'] ?? '', {});
    const key = storeKeys.pointer(team.workspace, team.imageId('worker'));
    const pointer = (await readPointer(store, key, { signal }))?.pointer;
    expect(pointer?.indexDigest).toBe(top.digest);
    expect(Object.keys(pointer?.archives ?? {}).sort()).toEqual(PLATFORMS);
    for (const { digest, sizeBytes } of Object.values(pointer?.archives ?? {}))
      expect((await store.head(storeKeys.archive(digest), { signal }))?.sizeBytes).toBe(sizeBytes);
  });

  test('R003-42, D37: has the label on every platform, and is skipped by it', async () => {
    const children = imagesOf(parseIndex((await manifestOf('worker', 'latest')).bytes));
    const labels = await Promise.all(children.map(({ digest }) => labelOf(digest)));
    expect(labels).toEqual(Array(2).fill(expect.stringMatching(/^sha256:[0-9a-f]{64}$/)));
    expect(labels[0]).toBe(labels[1]);
    proxy.takeRequests();
    for (const env of [{}, fresh('label')]) {
      const { stdout } = await team.runWith(env, '--service', 'worker', '--version', '1.0.0', '--push', '--explain');
      expect(stdout).toContain('worker: skip (registry-digest)');
      expect(writes()).toEqual([]);
    }
  });

  test('D37: with the label on one platform only it is no image of these sources; the same sources give the same bytes', async () => {
    const top = await manifestOf('worker', '1.0.0');
    const [first, second] = imagesOf(parseIndex(top.bytes));
    if (first === undefined || second === undefined) throw new Error('not two images');
    const config = Buffer.from('{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: { mediaType: MEDIA_TYPES.ociConfig, ...(await push(config)) },
        layers: [],
      }),
    );
    const other = { ...second, digest: digestOf(manifest), size: manifest.length };
    await client.putManifest(where('worker'), other.digest, manifest, MEDIA_TYPES.ociManifest, { signal });
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [first, other] };
    const mixed = Buffer.from(JSON.stringify(index));
    await client.putManifest(where('worker'), 'latest', mixed, MEDIA_TYPES.ociIndex, { signal });

    // Here: its first configuration is ours, but the image is another one. On a fresh machine: nothing vouches for it.
    const here = await team.run('--service', 'worker', '--push', '--explain');
    expect(here.stdout).toContain('worker: push-only (registry-digest)');
    expect((await manifestOf('worker', 'latest')).digest).toBe(top.digest);
    await client.putManifest(where('worker'), 'latest', mixed, MEDIA_TYPES.ociIndex, { signal });
    const elsewhere = await team.runWith(fresh('mixed'), '--service', 'worker', '--push', '--explain');
    expect(elsewhere.stdout).toContain('worker: build (label): the build context changed');
    expect((await manifestOf('worker', 'latest')).digest).toBe(top.digest);
  });
});

async function labelOf(image: string): Promise<string | undefined> {
  const { config } = parseManifest((await manifestOf('worker', image)).bytes);
  const bytes = await buffer(await client.getBlobStream(where('worker'), config.digest, { signal }));
  return parseImageConfig(bytes).config?.Labels?.['milou.context.hash'];
}
