import type { ByteString } from '../../archive/index.ts';
import type { NamedNode } from '../merge/merged-image.ts';
import type { Body, TreeNode } from '../merge/tree.ts';
import { defineTypes, NODE_LIST_TYPES, VALUE_IDS } from './clip-types.ts';
import { GobWriter, StructWriter } from './gob-writer.ts';

/** The CLIP node list of a merged tree (docs/formats/clip.md, "Node list"). `blobs` are the digests of the layers' blobs. */
export function encodeNodeList(names: readonly NamedNode[], blobs: readonly string[]): Buffer {
  const facts = factsOf(names);
  const value = new GobWriter();
  value.int(VALUE_IDS.nodeList);
  value.uint(0);
  value.uint(names.length);
  for (const named of names) writeNode(value, named, facts, blobs);
  const out = new GobWriter();
  defineTypes(out, NODE_LIST_TYPES);
  out.bytes(value.finish());
  return out.finish();
}

interface Facts {
  /** 1 + rank of a node's first path. */
  readonly numbers: ReadonlyMap<TreeNode, number>;
  /** Names of a file; 2 + subdirectories of a directory. */
  readonly links: ReadonlyMap<TreeNode, number>;
}

function factsOf(names: readonly NamedNode[]): Facts {
  const numbers = new Map<TreeNode, number>();
  const links = new Map<TreeNode, number>();
  for (const { node } of names) {
    if (!numbers.has(node)) numbers.set(node, numbers.size + 1);
    links.set(
      node,
      node.body.type === 'directory' ? 2 + subdirectories(node.body.children) : (links.get(node) ?? 0) + 1,
    );
  }
  return { numbers, links };
}

function subdirectories(children: ReadonlyMap<ByteString, { readonly node: TreeNode }>): number {
  let count = 0;
  for (const { node } of children.values()) if (node.body.type === 'directory') count += 1;
  return count;
}

const TYPE_BITS: Readonly<Record<Body['type'], number>> = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
};
const SYMLINK_PERMISSIONS = 0o777;
const BLOCK_BYTES = 512;

function writeNode(out: GobWriter, { path, node }: NamedNode, facts: Facts, blobs: readonly string[]): void {
  const { body } = node;
  const fields = new StructWriter(out);
  fields.text(0, body.type === 'directory' ? 'dir' : body.type === 'symlink' ? 'symlink' : 'file');
  fields.byteString(1, path);
  writeAttributes(fields.field(2), node, facts);
  if (body.type === 'symlink') fields.byteString(3, body.target);
  // a file with holes has no place: for it a stock reader's error is better than wrong bytes
  if (body.type === 'file' && body.offset !== undefined) {
    const remote = new StructWriter(fields.field(7));
    remote.text(0, blobs[body.layer] ?? '');
    remote.int(1, body.offset);
    remote.int(2, body.sizeBytes);
    remote.end();
  }
  fields.end();
}

function writeAttributes(out: GobWriter, node: TreeNode, { numbers, links }: Facts): void {
  const { attributes, body } = node;
  const { seconds, nanos } = attributes.mtime;
  const fields = new StructWriter(out);
  fields.uint(0, numbers.get(node) ?? 0);
  fields.uint(1, sizeOf(body));
  fields.uint(2, body.type === 'file' ? Math.ceil(body.sizeBytes / BLOCK_BYTES) : 0);
  for (const field of [3, 4, 5]) fields.uint64(field, BigInt.asUintN(64, seconds));
  for (const field of [6, 7, 8]) fields.uint(field, nanos);
  fields.uint(9, TYPE_BITS[body.type] | (body.type === 'symlink' ? SYMLINK_PERMISSIONS : attributes.permissions));
  fields.uint(10, links.get(node) ?? 0);
  const owner = new StructWriter(fields.field(11));
  owner.uint(0, attributes.uid);
  owner.uint(1, attributes.gid);
  owner.end();
  fields.uint(12, deviceNumberOf(body));
  fields.end();
}

function sizeOf(body: Body): number {
  return body.type === 'file' ? body.sizeBytes : body.type === 'symlink' ? body.target.length : 0;
}

/** The kernel's 32-bit form (include/linux/kdev_t.h, new_encode_dev). */
function deviceNumberOf(body: Body): number {
  if (body.type !== 'character' && body.type !== 'block') return 0;
  const { major, minor } = body;
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
