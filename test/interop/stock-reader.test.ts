import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, describe as group, test } from 'vitest';
import { type Archive, bytesOf, type ClipNode, fileSource, openArchive } from '../../src/archive/index.ts';
import {
  assemble,
  awkwardTars,
  indexTool,
  layoutOf,
  type MadeArchive,
  makeArchive,
  packLayers,
  verifyArchive,
} from '../support/native/index.ts';
import { gnuTarExtract, snapshotTree, umociUnpack } from '../support/oracle/index.ts';
import { startOlareg } from '../support/registry.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const { signal } = new AbortController();
const READER = join(import.meta.dirname, '../../.clipyard/bin/clip-reader');
const FIXTURES = join(import.meta.dirname, '../fixtures/clip');
const REPOSITORY = 'awkward/image';
const TAG = 'workspace-image';
const stack = new AsyncDisposableStack();
let root = '';
let gzip: MadeArchive;
let zstd: MadeArchive;

beforeAll(async () => {
  const dir = stack.use(await temporaryDirectory('stock')).path;
  root = dir;
  const { address: registry } = stack.use(await startOlareg());
  const { plain, gnu } = await awkwardTars();
  const layout = await layoutOf(dir, [...plain, ...gnu]);
  gzip = await makeArchive(layout, { dir, codec: 'gzip', name: 'gzip', registry, repository: REPOSITORY });
  zstd = await makeArchive(layout, { dir, codec: 'zstd', name: 'zstd', registry, repository: REPOSITORY });
  await push(registry, gzip);
});
afterAll(() => stack.disposeAsync());

/** Puts an image into a registry with plain requests (distribution-spec 1.1, "Pushing a blob monolithically"). */
async function push(registry: string, { layers, config, manifest }: MadeArchive): Promise<void> {
  for (const path of [...layers.map(({ blob }) => blob), config]) {
    const bytes = await readFile(path);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const started = await fetch(`http://${registry}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(started.headers.get('location') ?? '', `http://${registry}`);
    location.searchParams.set('digest', digest);
    const put = await fetch(location, {
      method: 'PUT',
      body: bytes,
      headers: { 'content-type': 'application/octet-stream' },
    });
    expect(put.status).toBe(201);
  }
  const put = await fetch(`http://${registry}/v2/${REPOSITORY}/manifests/${TAG}`, {
    method: 'PUT',
    body: await readFile(manifest),
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
  });
  expect(put.status).toBe(201);
}

interface StockNode {
  readonly NodeType: string;
  readonly Path: string;
  readonly Target: string;
  readonly ContentHash: string;
  readonly DataPos: number;
  readonly DataLen: number;
  readonly Attr: Readonly<Record<string, number | string>>;
  readonly Remote: { readonly LayerDigest: string; readonly UOffset: number; readonly ULength: number } | null;
}

async function stock<T>(...args: readonly string[]): Promise<readonly T[]> {
  const { stdout } = await run(READER, args, { maxBuffer: 2 ** 28 });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

/** A node as the stock reader's command prints it. */
function asStock({ type, path, target, contentHash, dataOffset, dataBytes, attributes, remote }: ClipNode): StockNode {
  return {
    NodeType: type,
    Path: bytesOf(path).toString('base64'),
    Target: bytesOf(target).toString('base64'),
    ContentHash: contentHash,
    DataPos: dataOffset,
    DataLen: dataBytes,
    Attr: {
      Ino: String(attributes.inode),
      Size: attributes.sizeBytes,
      Blocks: attributes.blocks,
      Atime: attributes.atimeSeconds,
      Mtime: attributes.mtimeSeconds,
      Ctime: attributes.ctimeSeconds,
      Atimensec: attributes.atimeNanos,
      Mtimensec: attributes.mtimeNanos,
      Ctimensec: attributes.ctimeNanos,
      Mode: attributes.mode,
      Nlink: attributes.links,
      Uid: attributes.owner.uid,
      Gid: attributes.owner.gid,
      Rdev: attributes.deviceNumber,
      Blksize: attributes.blockBytes,
    },
    Remote:
      remote === undefined
        ? null
        : { LayerDigest: remote.layerDigest, UOffset: remote.offset, ULength: remote.lengthBytes },
  };
}

async function openFile(path: string): Promise<Archive> {
  return openArchive(stack.use(await fileSource(path)), { signal });
}

group('the stock CLIP reader', () => {
  test.for(['gzip', 'zstd'] as const)('lists every entry of a %s archive as our reader does', async (codec) => {
    const { path, entries } = codec === 'gzip' ? gzip : zstd;
    const listed = await stock<StockNode>('list', path);
    expect(listed).toHaveLength(entries);
    expect(listed).toEqual((await (await openFile(path)).nodes({ signal })).map(asStock));
  });

  test('shows special modes, devices, fifos and hard links', async () => {
    const listed = new Map(
      (await stock<StockNode>('list', gzip.path)).map((node) => [
        Buffer.from(node.Path, 'base64').toString('latin1'),
        node,
      ]),
    );
    expect(listed.get('/usr/bin/su')!.Attr).toMatchObject({ Mode: 0o104755, Size: 4000 });
    expect(listed.get('/tmp')!.Attr['Mode']).toBe(0o041777);
    expect(listed.get('/dev/null')).toMatchObject({
      NodeType: 'file',
      Attr: { Mode: 0o020666, Rdev: 0x103 },
      Remote: null,
    });
    expect(listed.get('/dev/pipe')).toMatchObject({ NodeType: 'file', Attr: { Mode: 0o010622 }, Remote: null });
    expect(listed.get('/links/a')!.Attr).toMatchObject({
      Nlink: 4,
      Ino: listed.get('/links/b')!.Attr['Ino'],
      Mtimensec: 7,
    });
    expect(listed.get('/times/negative')!.Attr).toMatchObject({ Mtime: -2, Mtimensec: 749_999_999 });
    expect(listed.has('/names/caf\xe9')).toBe(true);
  });

  test('reads the bytes of every file from the registry', async () => {
    const nodes = await (await openFile(gzip.path)).nodes({ signal });
    const tars = new Map(
      await Promise.all(
        gzip.layers.map(async ({ digest, blob }) => {
          const { stdout } = await run('gzip', ['-dc', blob], { encoding: 'buffer', maxBuffer: 2 ** 28 });
          return [digest, stdout] as const;
        }),
      ),
    );
    const expected = nodes.flatMap(({ path, remote }) =>
      remote === undefined
        ? []
        : [
            {
              Path: bytesOf(path).toString('base64'),
              Bytes: tars
                .get(remote.layerDigest)!
                .toString('base64', remote.offset, remote.offset + remote.lengthBytes),
            },
          ],
    );
    expect(expected.length).toBeGreaterThan(1500);
    const read = await stock<{ Path: string; Bytes: string | null }>('read', '-tag', TAG, gzip.path);
    expect(read.map(({ Path, Bytes }) => ({ Path, Bytes: Bytes ?? '' }))).toEqual(expected);
  });

  test('gives the storage info and image metadata that our reader gives', async () => {
    const [info] = await stock<Record<string, unknown>>('storage', gzip.path);
    const ours = await (await openFile(gzip.path)).storage({ signal });
    if (ours.type !== 'oci') throw new Error(ours.type);
    expect(info).toMatchObject({
      RegistryURL: ours.reference.registry,
      Repository: ours.reference.repository,
      Reference: ours.reference.digest,
      Layers: ours.layers,
      DecompressedHashByLayer: Object.fromEntries(ours.plainHashes),
      ImageMetadata: {
        Env: ours.metadata!.env,
        Cmd: ours.metadata!.cmd,
        WorkingDir: ours.metadata!.workingDir,
        User: ours.metadata!.user,
        Digest: gzip.manifestDigest,
      },
    });
  });

  test('gets no checkpoint that it would take for the start of a gzip member', async () => {
    const ours = await (await openFile(gzip.path)).storage({ signal });
    if (ours.type !== 'oci') throw new Error(ours.type);
    for (const { blob, digest } of gzip.layers) {
      const bytes = await readFile(blob);
      for (const { compressed } of ours.checkpoints.get(digest) ?? []) {
        expect(bytes.subarray(compressed, compressed + 2).toString('hex'), `${digest} at ${compressed}`).not.toBe(
          '1f8b',
        );
      }
    }
  });
});

group('a V1 archive, read by the stock reader', () => {
  let v1: { readonly path: string; readonly entries: number };
  let nodes: readonly ClipNode[];
  beforeAll(async () => {
    const path = join(root, 'v1.clip');
    const results = await indexTool('assemble', {
      output: path,
      format: 'v1',
      layers: zstd.layers.map(({ index, digest, mediaType, blob }) => ({ index, digest, mediaType, blob })),
      config: zstd.config,
      manifest: zstd.manifest,
      storage: { registry: '127.0.0.1:5000', repository: REPOSITORY, reference: zstd.manifestDigest },
      imageName: REPOSITORY,
    });
    v1 = { path, entries: (results.get('') as { entries: number }).entries };
    nodes = await (await openFile(path)).nodes({ signal });
  });

  test('lists every entry as our reader does, and as the archive with sections lists them', async () => {
    const listed = await stock<StockNode>('list', v1.path);
    expect(listed).toEqual(nodes.map(asStock));
    const withoutData = (list: readonly ClipNode[]) =>
      list.map(({ contentHash: _, dataOffset: __, dataBytes: ___, remote: ____, ...node }) => node);
    expect(withoutData(nodes)).toEqual(withoutData(await (await openFile(zstd.path)).nodes({ signal })));
    expect(v1.entries).toBe(listed.length);
    expect((await openFile(v1.path)).kind).toBe('clip-v1');
  });

  test('gives every file the bytes that umoci and GNU tar unpack, sparse ones too', async () => {
    const { gnu, plain } = await awkwardTars();
    const tree = await umociUnpack((await layoutOf(join(root, 'truth'), plain, 'gzip')).dir, join(root, 'bundle'));
    for (const { path } of (await layoutOf(join(root, 'gnu'), gnu)).layers) await gnuTarExtract(path, tree);
    const truth = await snapshotTree(tree);
    const files = [...truth].filter(([, { sizeBytes, type }]) => type === 'file' && sizeBytes > 0);
    const read = await stock<{ Path: string; Bytes: string }>('read', v1.path);
    const hashes = new Map(
      read.map(({ Bytes, Path }) => [
        Buffer.from(Path, 'base64').toString('latin1'),
        createHash('sha256').update(Buffer.from(Bytes, 'base64')).digest('hex'),
      ]),
    );
    expect(hashes).toEqual(new Map(files.map(([path, { sha256 }]) => [path, sha256])));
    expect(hashes.size).toBeGreaterThan(1500);
  });

  test('has each file as the stock writer lays it out: its type byte, its bytes, its checksum, its sha256', async () => {
    const bytes = await readFile(v1.path);
    const files = nodes.filter(({ attributes, type }) => type === 'file' && (attributes.mode & 0o170000) === 0o100000);
    const ends = new Map(files.map(({ dataBytes, dataOffset }) => [dataOffset - 1, dataOffset + dataBytes + 8]));
    let at = 54;
    for (let end = ends.get(at); end !== undefined; end = ends.get(at)) {
      expect(bytes.readUInt8(at)).toBe(0);
      at = end;
    }
    expect(at).toBe((await openFile(v1.path)).header.indexOffset);
    for (const { contentHash, dataBytes, dataOffset } of files) {
      const data = bytes.subarray(dataOffset, dataOffset + dataBytes);
      expect(createHash('sha256').update(data).digest('hex')).toBe(contentHash);
    }
  });

  test('passes the native verifier', async () => {
    expect(await verifyArchive(v1.path)).toMatchObject({ kind: 'clip-v1', entries: v1.entries });
  });
});

group('archives of the stock writer', () => {
  test.for([
    ['two/image.clip', 'clip'],
    ['sample/image.clip', 'clip'],
    ['v1/v1.clip', 'clip-v1'],
    ['v1/v1.rclip', 'clip-v1'],
  ])('%s is listed by both readers alike and passes the native verifier', async ([file, kind]) => {
    const path = join(FIXTURES, file!);
    const nodes = await (await openFile(path)).nodes({ signal });
    expect(await stock<StockNode>('list', path)).toEqual(nodes.map(asStock));
    expect(await verifyArchive(path)).toMatchObject({ kind, entries: nodes.length });
  });

  test('an image that the stock writer indexed gets the same entries from us, with what CLIP leaves out', async () => {
    const layoutDir = join(FIXTURES, 'sample/layout');
    const blob = (digest: string): string => join(layoutDir, 'blobs/sha256', digest.slice(7));
    const stored = await (await openFile(join(FIXTURES, 'sample/image.clip'))).storage({ signal });
    if (stored.type !== 'oci') throw new Error(stored.type);
    const dir = stack.use(await temporaryDirectory('sample')).path;
    const manifest = JSON.parse(await readFile(blob(stored.metadata!.digest), 'utf8')) as {
      config: { digest: string };
    };
    const layers = stored.layers.map((digest) => ({
      path: blob(digest),
      digest,
      diffId: `sha256:${stored.plainHashes.get(digest) ?? ''}`,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    }));
    const packed = await packLayers(layers, { dir, codec: 'keep' });
    const output = join(dir, 'sample.clip');
    await assemble({
      output,
      layers: packed,
      config: blob(manifest.config.digest),
      manifest: blob(stored.metadata!.digest),
      manifestDigest: stored.metadata!.digest,
    });
    const ours = (await (await openFile(output)).nodes({ signal })).map(comparable);
    const theirs = (await (await openFile(join(FIXTURES, 'sample/image.clip'))).nodes({ signal })).map(comparable);
    expect(ours.map(({ special: _special, ...node }) => node)).toEqual(
      theirs.map(({ special: _special, ...node }) => node),
    );
    expect(theirs.every(({ special }) => special === 0)).toBe(true);
    expect(ours.find(({ path }) => path.endsWith('/su'))).toMatchObject({ special: 0o4000 });
  });
});

/** What both writers keep of a node: not the root's time, which is no entry's, and not the mode of a link, which Linux has not. */
function comparable({ type, path, target, attributes, remote }: ClipNode) {
  const { mode, owner, sizeBytes, mtimeSeconds } = attributes;
  return {
    type,
    path,
    target,
    remote,
    mode: type === 'symlink' ? 0 : mode & ~0o7000,
    special: mode & 0o7000,
    owner,
    sizeBytes,
    mtimeSeconds: path === '/' ? 0 : mtimeSeconds,
  };
}
