import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { type Archive, type ByteString, bytesSource, type ClipNode, openArchive } from '../../../src/archive/index.ts';
import { readConfig, readManifest } from '../../../src/portable/archive/image-documents.ts';
import { encodeLayersSection } from '../../../src/portable/archive/layer-tables.ts';
import { encodeNodeList } from '../../../src/portable/archive/node-list.ts';
import { encodeStorageInfo } from '../../../src/portable/archive/storage-info.ts';
import type { IndexedLayer } from '../../../src/portable/index.ts';
import type { NamedNode } from '../../../src/portable/merge/merged-image.ts';
import type { Body, Child, TreeNode } from '../../../src/portable/merge/tree.ts';

const GOLDEN = join(import.meta.dirname, '../../golden/archive');
const { signal } = new AbortController();
let archive: Archive;
let clip: Buffer;
let layers: readonly IndexedLayer[];

beforeAll(async () => {
  archive = await openArchive(bytesSource(readFileSync(join(GOLDEN, 'small.clip'))), { signal });
  clip = readFileSync(join(GOLDEN, 'small.clip-part'));
  layers = (await archive.layers({ signal }))
    .filter(({ kind }) => kind === 'layer')
    .map(({ chunkDigests, chunkLengths, ...record }) => ({
      ...record,
      chunks: chunkLengths.map((plainBytes, at) => ({
        plainBytes,
        digest: chunkDigests.subarray(32 * at, 32 * at + 32),
      })),
      format: 'tar',
      ignoredSeekTable: false,
      entries: [],
      warnings: { droppedOverlayXattrs: 0, droppedHostXattrs: 0, droppedUnsupportedXattrs: 0, ignoredGlobalHeaders: 0 },
    }));
});

test('the storage info of the golden archive is made again byte by byte', async () => {
  const { config, manifest, storage } = await archive.documents({ signal });
  const info = await archive.storage({ signal });
  const { storageOffset } = archive.header;
  const made = encodeStorageInfo({
    config: readConfig(config),
    manifest: readManifest(manifest),
    layers: readManifest(manifest).layers.map(({ digest }) => layers.find((layer) => layer.digest === digest)!),
    registry: storage.registry,
    repository: storage.repository,
    reference: storage.digest,
    imageName: info.type === 'oci' ? (info.metadata?.name ?? '') : '',
  });
  expect(made.toString('hex')).toBe(clip.toString('hex', storageOffset));
});

test('the layer tables of the golden archive are made again byte by byte', () => {
  const golden = readFileSync(join(GOLDEN, 'small.layers'));
  const made = encodeLayersSection(layers);
  expect(made.toString('hex', 4)).toBe(golden.toString('hex', 4, made.length));
});

test('the node list of the golden archive is made again byte by byte, up to a socket, which no tar can hold', async () => {
  const nodes = await archive.nodes({ signal });
  const before = nodes.slice(
    0,
    nodes.findIndex(({ path }) => path === '/socket'),
  );
  const made = encodeNodeList(
    namesOf(before, layers),
    layers.map(({ digest }) => digest),
  );
  // the messages of the types, then length, type id, zero and count of the value, which tell of more nodes there
  const value = made.indexOf(Buffer.from([0xff, 0x88, 0x00, before.length]));
  const length = made.readUInt8(value - 3) === 0xfe ? 3 : 2;
  expect(clip.indexOf(made.subarray(0, value - length))).toBe(54);
  expect(clip.indexOf(made.subarray(value + 4))).toBe(54 + value + 4);
});

/** The tree that a node list shows. */
function namesOf(nodes: readonly ClipNode[], tables: readonly IndexedLayer[]): readonly NamedNode[] {
  const byInode = new Map<bigint, TreeNode>();
  const byPath = new Map<string, TreeNode>();
  return nodes.map((node) => {
    const { inode, mode, mtimeNanos, mtimeSeconds, owner } = node.attributes;
    const made = byInode.get(inode) ?? {
      attributes: { permissions: mode & 0o7777, ...owner, mtime: { seconds: BigInt(mtimeSeconds), nanos: mtimeNanos } },
      body: bodyOf(node, tables),
    };
    byInode.set(inode, made);
    byPath.set(node.path, made);
    const split = node.path.lastIndexOf('/');
    const parent = byPath.get(node.path.slice(0, split) || '/');
    if (node.path !== '/' && parent?.body.type === 'directory')
      parent.body.children.set(node.path.slice(split + 1) as ByteString, { node: made, layer: 1 } satisfies Child);
    return { path: node.path, node: made };
  });
}

function bodyOf({ attributes, remote, target, type }: ClipNode, tables: readonly IndexedLayer[]): Body {
  if (type === 'dir') return { type: 'directory', children: new Map() };
  if (type === 'symlink') return { type, target };
  const { deviceNumber: number, mode, sizeBytes } = attributes;
  const kind = mode & 0o170000;
  if (kind === 0o010000) return { type: 'fifo' };
  if (kind === 0o020000 || kind === 0o060000) {
    const [major, minor] = [(number >>> 8) & 0xfff, (number & 0xff) | ((number >>> 12) & 0xfff00)];
    return { type: kind === 0o020000 ? 'character' : 'block', major, minor };
  }
  const layer = tables.findIndex(({ digest }) => digest === remote?.layerDigest);
  return { type: 'file', sizeBytes, offset: remote?.offset, layer };
}
