import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf, hexOf } from '../../src/digest/index.ts';
import type { IndexResult } from '../../src/jobs/index.ts';
import { openStore } from '../../src/objects/index.ts';
import { parseIndex } from '../../src/oci/index.ts';
import { createRegistryClient, type Repository } from '../../src/registry/index.ts';
import { commandError, commandJson, runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { awkwardTars, layoutOf } from '../support/native/index.ts';
import { compareTrees, snapshotTree, type TreeSnapshot } from '../support/oracle/index.ts';
import { pushLayout } from '../support/push-layout.ts';
import { resigned } from '../support/resigned.ts';
import { serviceSetting } from '../support/services.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const READER = join(import.meta.dirname, '../../.clipyard/bin/clip-reader');
const stack = new AsyncDisposableStack();
const repositories = { zstd: `completed/zstd${process.pid}`, gzip: `completed/gzip${process.pid}` };
let dir = '';
let proxy: FaultProxy;
/** What the native engine's archives show. */
const native = new Map<string, TreeSnapshot>();

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('completed')).path;
  proxy = stack.use(await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY')));
  const { gnu, plain } = await awkwardTars();
  for (const codec of ['zstd', 'gzip'] as const) {
    const layout = await layoutOf(dir, [...plain, ...gnu], codec);
    await pushLayout(layout, { registry: serviceSetting('CLIPYARD_REGISTRY'), repository: repositories[codec] });
    native.set(codec, await mountedTree(await index(codec, 'native'), 'native'));
  }
});
afterAll(() => stack.disposeAsync());

const indexed = new Map<string, Promise<string>>();

/** The archive of an engine, made once. */
async function index(codec: 'zstd' | 'gzip', engine: 'native' | 'portable'): Promise<string> {
  const name = `${codec}-${engine}`;
  const made = indexed.get(name) ?? makeIndex(codec, engine);
  indexed.set(name, made);
  return await made;
}

async function makeIndex(codec: 'zstd' | 'gzip', engine: 'native' | 'portable'): Promise<string> {
  const output = join(dir, `${codec}-${engine}.clip`);
  const from = `docker://${proxy.address}/${repositories[codec]}:latest`;
  const args = ['index', '--from', from, '--engine', engine, '--output', output, '--platform', 'linux/amd64'];
  await commandJson<IndexResult>(args, environment(`index-${engine}`));
  return output;
}

/** A state of its own: what one mount makes is not there for another. */
function environment(name: string): Record<string, string> {
  return {
    CLIPYARD_STATE: join(dir, `state-${name}`),
    CLIPYARD_CACHE: join(dir, `cache-${name}`),
    CLIPYARD_LOG: 'info',
  };
}

async function mountedTree(archive: string, state: string, flags: readonly string[] = []): Promise<TreeSnapshot> {
  const mountpoint = join(dir, 'mountpoint');
  await mkdir(mountpoint, { recursive: true });
  await commandJson(['mount', ...flags, archive, mountpoint], environment(state));
  try {
    return await snapshotTree(mountpoint);
  } finally {
    await commandJson(['umount', mountpoint], environment(state));
  }
}

/** GETs of whole blobs: a mount only asks for ranges. */
function wholeBlobs(): number {
  const requests = proxy.takeRequests();
  return requests.filter(({ method, path, range }) => method === 'GET' && path.includes('/blobs/') && !range).length;
}

test.for(['zstd', 'gzip'] as const)(
  'an archive of the portable engine mounts and reads as the native one does: %s',
  async (codec) => {
    const archive = await index(codec, 'portable');
    wholeBlobs();
    const tree = await mountedTree(archive, `portable-${codec}`);
    expect(compareTrees(native.get(codec)!, tree)).toEqual([]);
    expect(tree.size).toBeGreaterThan(1900);
    expect(wholeBlobs()).toBeGreaterThan(0);
    // What was made for the first mount serves the next.
    expect(compareTrees(tree, await mountedTree(archive, `portable-${codec}`))).toEqual([]);
    expect(wholeBlobs()).toBe(0);
  },
);

test('an archive of the stock writer mounts as the native engine would show its image', async () => {
  const archive = join(dir, 'stock.clip');
  await run(READER, ['index', '-image', `${proxy.address}/${repositories.gzip}:latest`, '-out', archive]);
  expect(compareTrees(native.get('gzip')!, await mountedTree(archive, 'stock'))).toEqual([]);
});

test('an archive that the stock writer made in the past mounts as its image does now', async () => {
  const fixture = join(import.meta.dirname, '../fixtures/clip/sample');
  const repository = { registry: serviceSetting('CLIPYARD_REGISTRY'), repository: `completed/past${process.pid}` };
  await pushFolder(join(fixture, 'layout'), repository);
  const moved = ['--storage-ref', `${repository.registry}/${repository.repository}:latest`];
  const made = join(dir, 'now.clip');
  await commandJson(['index', '--from', `oci:${fixture}/layout:latest`, ...moved, '--output', made]);
  const tree = await mountedTree(made, 'now');
  expect(tree.size).toBeGreaterThan(2);
  expect(compareTrees(tree, await mountedTree(join(fixture, 'image.clip'), 'past', moved))).toEqual([]);
});

/** Every blob of an OCI layout, and its one image as `latest`. */
async function pushFolder(layout: string, repository: Repository): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  await using client = createRegistryClient();
  const blobs = join(layout, 'blobs/sha256');
  for (const name of await readdir(blobs)) {
    const bytes = await readFile(join(blobs, name));
    await client.pushBlob(repository, { digest: digestOf(bytes), sizeBytes: bytes.length, bytes }, { signal });
  }
  const [image] = parseIndex(await readFile(join(layout, 'index.json'))).manifests;
  if (image === undefined) throw new Error(`${layout} has no image`);
  const manifest = await readFile(join(blobs, hexOf(image.digest)));
  await client.putManifest(repository, 'latest', manifest, image.mediaType, { signal });
}

test('cat and verify --deep work on an archive of the portable engine', async () => {
  const archive = await index('zstd', 'portable');
  const env = environment('cat');
  const { exitCode, stdout } = await runCommand(['cat', archive, '/links/a'], env);
  expect(exitCode).toBe(0);
  expect(stdout).toBe((await runCommand(['cat', join(dir, 'zstd-native.clip'), '/links/a'], env)).stdout);
  expect(await commandJson(['verify', '--deep', archive], env)).toMatchObject({ ok: true, kind: 'clipyard' });
});

test('an archive of the portable engine in a store is fetched whole, once, and completed', async () => {
  const key = `completed/${process.pid}.clip`;
  await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  await store.putFile(key, await index('gzip', 'portable'), { signal: AbortSignal.timeout(30_000) });
  const tree = await mountedTree(store.urlOf(key), 'stored');
  expect(compareTrees(native.get('gzip')!, tree)).toEqual([]);
  wholeBlobs();
  await mountedTree(store.urlOf(key), 'stored');
  expect(wholeBlobs()).toBe(0);
});

test('blobs that have moved are found by --storage-ref', async () => {
  const archive = await index('zstd', 'portable');
  await using other = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  const mountpoint = join(dir, 'moved');
  await mkdir(mountpoint);
  proxy.takeRequests();
  const moved = `${other.address}/${repositories.zstd}`;
  await commandJson(['mount', '--storage-ref', moved, archive, mountpoint], environment('moved'));
  const tree = await snapshotTree(mountpoint);
  await commandJson(['umount', mountpoint], environment('moved'));
  expect(compareTrees(native.get('zstd')!, tree)).toEqual([]);
  expect(proxy.takeRequests()).toEqual([]);
});

test('a list of files that the layers do not give is ARCHIVE_MISMATCH, and nothing is kept', async () => {
  const archive = await index('zstd', 'portable');
  const forged = join(dir, 'forged.clip');
  await writeFile(forged, resigned(await readFile(archive), '/usr/bin/su', '/usr/bin/sv'));
  const error = await commandError(['mount', forged, join(dir, 'nowhere')], environment('forged'));
  expect(error).toMatchObject({ code: 'ARCHIVE_MISMATCH', exitCode: 65 });
  expect(await readdir(join(dir, 'cache-forged', 'archives'))).toEqual([]);
});

test('layers that are gone are told, and nothing is kept', async () => {
  const archive = await index('zstd', 'portable');
  const error = await commandError(
    ['mount', '--storage-ref', `${proxy.address}/no/such`, archive, join(dir, 'nowhere')],
    environment('gone'),
  );
  expect(error.code).toBe('REGISTRY_NOT_FOUND');
  expect(await readdir(join(dir, 'cache-gone', 'archives'))).toEqual([]);
});
