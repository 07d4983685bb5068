import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, describe as group, test } from 'vitest';
import { type Archive, fileSource, nodeTree, openArchive } from '../../../src/archive/index.ts';
import { type Layout, overlayLayer, sha256 } from '../../support/corpus/index.ts';
import {
  awkwardTars,
  layoutOf,
  type MadeArchive,
  makeArchive,
  unpackErofs,
  verifyArchive,
} from '../../support/native/index.ts';
import {
  compareTrees,
  gnuTarExtract,
  mountErofs,
  snapshotNodes,
  snapshotTree,
  type TreeSnapshot,
  umociUnpack,
} from '../../support/oracle/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);
const { signal } = new AbortController();
const stack = new AsyncDisposableStack();
let dir = '';
let layout: Layout;
let zstd: MadeArchive;
/** What umoci and GNU tar make of the layers. */
let truth: TreeSnapshot;
/** Paths whose time is that of the unpacking, because umoci made or touched them without an entry. */
let touched: ReadonlySet<string>;

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('awkward')).path;
  const { plain, gnu } = await awkwardTars();
  layout = await layoutOf(dir, [...plain, ...gnu]);
  zstd = await makeArchive(layout, { dir, codec: 'zstd', name: 'zstd' });
  const startNs = BigInt(Date.now()) * 1_000_000n;
  const root = await umociUnpack((await layoutOf(dir, plain, 'gzip')).dir, join(dir, 'bundle'));
  for (const { path } of layout.layers.slice(plain.length)) await gnuTarExtract(path, root);
  truth = await snapshotTree(root);
  const endNs = BigInt(Date.now() + 1) * 1_000_000n;
  touched = new Set(
    [...truth].filter(([, { mtimeNs }]) => mtimeNs >= startNs && mtimeNs <= endNs).map(([path]) => path),
  );
});
afterAll(() => stack.disposeAsync());

async function openFile(path: string): Promise<Archive> {
  return openArchive(stack.use(await fileSource(path)), { signal });
}

/** The tree that the kernel shows of an archive over the plain tars of its layers. */
async function mountedTree(archive: string, tars: ReadonlyMap<string, string>, name: string): Promise<TreeSnapshot> {
  const image = join(dir, `${name}.erofs`);
  const { devices } = await unpackErofs(archive, image);
  const opened = await openFile(archive);
  const records = await opened.layers({ signal });
  const paths = await Promise.all(
    devices.map(async (diffId, at) => {
      const plain = tars.get(diffId);
      return blockSized(
        records[at]?.kind === 'extra' || plain === undefined ? await extraDevice(opened, name) : plain,
        join(dir, `${name}-${at}.device`),
      );
    }),
  );
  await using _mount = await mountErofs(image, paths, join(dir, `${name}-mount`));
  return await snapshotTree(join(dir, `${name}-mount`));
}

/** A device is a plain stream rounded up to a block. */
async function blockSized(path: string, copy: string): Promise<string> {
  const bytes = await readFile(path);
  await writeFile(copy, Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]));
  return copy;
}

/** Section extra is zstd frames one after the other. */
async function extraDevice(archive: Archive, name: string): Promise<string> {
  const stored = join(dir, `${name}.extra.zst`);
  await writeFile(stored, (await archive.section('extra', { signal })) ?? Buffer.alloc(0));
  await run('zstd', ['-q', '-d', '-f', stored, '-o', join(dir, `${name}.extra`)]);
  return join(dir, `${name}.extra`);
}

const tarsOf = ({ layers }: Layout): ReadonlyMap<string, string> =>
  new Map(layers.map(({ diffId, path }) => [diffId, path]));

group('the metadata image of an awkward image', () => {
  test('mounted by the kernel is the tree that umoci and GNU tar unpack', async () => {
    const mounted = await mountedTree(zstd.path, tarsOf(layout), 'kernel');
    expect(compareTrees(truth, mounted, { times: touched })).toEqual([]);
    expect(mounted.size).toBe(zstd.entries);
    expect(mounted.size).toBeGreaterThan(1900);
  });

  test('umoci touched only the folders it made itself or removed something from', () => {
    expect([...touched].sort()).toEqual([
      '/',
      '/absolute',
      '/implicit',
      '/implicit/a',
      '/implicit/a/b',
      '/opaque-early/sub',
      '/undotted',
      '/wh',
      '/wh/back-dir',
      '/wh/early-dir',
    ]);
  });

  test('is the same whatever the layers are compressed with', async () => {
    const erofs = async (archive: MadeArchive) => (await openFile(archive.path)).section('erofs', { signal });
    const expected = await erofs(zstd);
    for (const codec of ['gzip', 'none'] as const) {
      expect(await erofs(await makeArchive(layout, { dir, codec, name: codec })), codec).toEqual(expected);
    }
    const { plain, gnu } = await awkwardTars();
    for (const codec of ['gzip', 'zstd'] as const) {
      const foreign = await layoutOf(join(dir, 'foreign'), [...plain, ...gnu], codec);
      expect(await erofs(await makeArchive(foreign, { dir, codec: 'keep', name: `keep-${codec}` })), codec).toEqual(
        expected,
      );
    }
  });

  test('leaves out what would steer an overlay on top, and says so', async () => {
    const { plain } = await awkwardTars();
    const steered = await layoutOf(join(dir, 'overlay'), [plain[0]!, overlayLayer()]);
    const archive = await makeArchive(steered, { dir, codec: 'zstd', name: 'overlay' });
    const tree = await mountedTree(archive.path, tarsOf(steered), 'overlay');
    expect(tree.get('/overlay')?.xattrs).toEqual({ 'user.kept': '6b' });
    expect(tree.get('/overlay/file')?.xattrs).toEqual({ 'user.kept': '6b' });
    expect(tree.has('/overlay/whiteout')).toBe(false);
    const dropped = Object.values(archive.warnings).reduce((total, count) => total + count, 0);
    expect(dropped).toBe(3);
  });
});

group('the archive of an awkward image', () => {
  test('is in order by the native verifier and by the reader of this project', async () => {
    expect(await verifyArchive(zstd.path)).toMatchObject({ kind: 'clipyard', entries: zstd.entries });
    const archive = await openFile(zstd.path);
    await archive.verify({ signal });
    expect(archive.footer?.digest).toBe(zstd.footerDigest);
    expect(archive.sizeBytes).toBe(zstd.sizeBytes);
    expect(sha256(await readFile(zstd.path))).toBe(zstd.digest);
    expect(archive.header.indexOffset + archive.header.indexBytes + archive.header.storageBytes).toBe(zstd.clipBytes);
  });

  test('lists in its CLIP part the tree that umoci and GNU tar unpack', async () => {
    const nodes = await (await openFile(zstd.path)).nodes({ signal });
    const listed = snapshotNodes(nodes);
    expect(compareTrees(truth, listed, { times: touched, fields: ['xattrs', 'sha256'] })).toEqual([]);
    expect(nodes.map(({ path }) => path)).toEqual([...listed.keys()]);
    expect(nodeTree(nodes).size).toBe(nodes.length);
  });

  test('points at the bytes of every file in the plain tars', async () => {
    const nodes = await (await openFile(zstd.path)).nodes({ signal });
    const tars = new Map(
      await Promise.all(
        zstd.layers.map(async ({ digest, diffId }) => [digest, await readFile(tarsOf(layout).get(diffId)!)] as const),
      ),
    );
    let checked = 0;
    for (const { path, remote, attributes } of nodes) {
      if (remote === undefined) continue;
      const bytes = tars.get(remote.layerDigest)!.subarray(remote.offset, remote.offset + remote.lengthBytes);
      expect(remote.lengthBytes, path).toBe(attributes.sizeBytes);
      expect(createHash('sha256').update(bytes).digest('hex'), path).toBe(truth.get(path)!.sha256);
      checked += 1;
    }
    expect(checked).toBeGreaterThan(1500);
  });

  test('names layers, documents and reference', async () => {
    const archive = await openFile(zstd.path);
    const records = await archive.layers({ signal });
    expect(
      records
        .filter(({ kind }) => kind === 'layer')
        .map(({ digest, diffId, blobBytes, plainBytes, mediaType }) => ({
          digest,
          diffId,
          sizeBytes: blobBytes,
          plainBytes,
          mediaType,
        })),
    ).toEqual(
      zstd.layers.map(({ digest, diffId, sizeBytes, plainBytes, mediaType }) => ({
        digest,
        diffId,
        sizeBytes,
        plainBytes,
        mediaType,
      })),
    );
    const { config, manifest, storage } = await archive.documents({ signal });
    expect(config).toEqual(await readFile(zstd.config));
    expect(manifest).toEqual(await readFile(zstd.manifest));
    expect(storage).toEqual({ registry: '127.0.0.1:5000', repository: 'awkward/image', digest: zstd.manifestDigest });
    const clip = await archive.storage({ signal });
    expect(clip).toMatchObject({ type: 'oci', reference: storage, layers: zstd.layers.map(({ digest }) => digest) });
    if (clip.type !== 'oci') throw new Error(clip.type);
    expect(Object.fromEntries(clip.plainHashes)).toEqual(
      Object.fromEntries(zstd.layers.map(({ digest, diffId }) => [digest, diffId.slice(7)])),
    );
    expect(clip.metadata).toMatchObject({
      architecture: 'amd64',
      os: 'linux',
      env: ['PATH=/usr/bin:/bin', 'NOTE=awkward'],
      cmd: ['/bin/sh'],
      user: '1000',
      workingDir: '/srv',
      exposedPorts: ['80/tcp'],
    });
  });
});

group('packing is a pure function', () => {
  test.for(['zstd', 'gzip'] as const)('%s: one job and two give the same blobs and archive', async (codec) => {
    const one = await makeArchive(layout, { dir, codec, jobs: 1, name: `${codec}-one` });
    const two = await makeArchive(layout, { dir, codec, jobs: 2, name: `${codec}-two` });
    expect(one.layers.map(({ digest }) => digest)).toEqual(two.layers.map(({ digest }) => digest));
    expect(one.digest).toBe(two.digest);
    expect(await readFile(one.path)).toEqual(await readFile(two.path));
  });

  test.for(['zstd', 'gzip'] as const)('%s: keeping the packed blobs gives the same archive', async (codec) => {
    const packed = await makeArchive(layout, { dir, codec, name: `${codec}-packed` });
    const again = {
      ...layout,
      layers: packed.layers.map(({ blob, digest, diffId, mediaType, sizeBytes }) => ({
        path: blob,
        digest,
        diffId,
        mediaType,
        sizeBytes,
      })),
    };
    const kept = await makeArchive(again, { dir, codec: 'keep', name: `${codec}-kept` });
    expect(kept.layers.map(({ digest }) => digest)).toEqual(packed.layers.map(({ digest }) => digest));
    expect(kept.digest).toBe(packed.digest);
  });

  test('the blobs decode with the common tools to the tars they were made of', async () => {
    for (const [codec, tool] of [
      ['zstd', 'zstd'],
      ['gzip', 'gzip'],
    ] as const) {
      const { layers } = await makeArchive(layout, { dir, codec, name: `${codec}-tools` });
      for (const { blob, digest, diffId } of layers) {
        expect(sha256(await readFile(blob))).toBe(digest);
        const { stdout } = await run('sh', ['-c', `${tool} -dc < "$1"`, 'sh', blob], {
          encoding: 'buffer',
          maxBuffer: 2 ** 26,
        });
        expect(sha256(stdout)).toBe(diffId);
      }
    }
  });
});
