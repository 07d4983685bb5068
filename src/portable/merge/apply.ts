import type { ByteString } from '../../archive/index.ts';
import type { Entry } from '../entry.ts';
import { atPlace, corrupt, pathInvalid } from '../failure.ts';
import { shown } from '../tar/names.ts';
import { endOf, resolveWay, type Step, splitPath } from './resolve.ts';
import { type Body, childrenOf, implicitDirectory, type Tree, type TreeNode } from './tree.ts';

/** Names with this prefix remove what lower layers have (image-spec 1.1, layer.md, "Whiteouts"). */
const WHITEOUT = '.wh.';
/** This name removes everything that lower layers have in its directory. */
const OPAQUE = '.wh..wh..opq';

/**
 * Applies one entry of layer number `layer` (from 1; `data` is the one whose tar has its data) as container engines
 * unpack it. Throws LAYER_PATH_INVALID, LAYER_CORRUPT, LIMIT_EXCEEDED.
 */
export function applyEntry(tree: Tree, entry: Entry, { layer, data }: { layer: number; data: number }): void {
  try {
    if (entry.path === '') applyRoot(tree, entry);
    else applyNamed(tree, entry, { layer, data });
  } catch (thrown) {
    throw atPlace(thrown, shown(entry.path));
  }
}

function applyRoot(tree: Tree, { kind, attributes }: Entry): void {
  if (kind.type !== 'directory') throw pathInvalid('an entry makes the root something else than a directory');
  tree.root.attributes = attributes;
}

function applyNamed(tree: Tree, entry: Entry, { layer, data }: { layer: number; data: number }): void {
  const { way, name } = splitPath(entry.path);
  const steps = resolveWay(tree, way, name);
  if (name.startsWith(WHITEOUT)) {
    applyWhiteout(tree, endOf(tree, steps), name, layer);
    return;
  }
  const directory = ensureDirectory(tree, steps, layer);
  const children = childrenOf(directory);
  if (children === undefined) throw pathInvalid('its parent is no directory');
  if (entry.kind.type === 'hardlink') {
    children.delete(name); // engines remove the old name first, so a link cannot lead to what it replaces
    children.set(name, { node: hardLinkTarget(tree, entry.kind.target), layer });
    return;
  }
  const old = children.get(name)?.node;
  if (entry.kind.type === 'directory' && old !== undefined && childrenOf(old) !== undefined) {
    old.attributes = entry.attributes;
    children.set(name, { node: old, layer });
    return;
  }
  children.set(name, { node: { attributes: entry.attributes, body: bodyOf(entry.kind, data) }, layer });
}

function bodyOf(kind: Exclude<Entry['kind'], { type: 'hardlink' }>, layer: number): Body {
  switch (kind.type) {
    case 'directory':
      return { type: 'directory', children: new Map() };
    case 'file':
      return { ...kind, layer };
    case 'fifo':
      return { type: 'fifo' };
    case 'symlink':
      return { type: 'symlink', target: kind.target };
    case 'character':
    case 'block':
      return kind;
  }
}

/** Makes what is missing on the way and marks the way as made by this layer. */
function ensureDirectory(tree: Tree, steps: readonly Step[], layer: number): TreeNode {
  let directory = tree.root;
  for (const { name, node } of steps) {
    const children = childrenOf(directory);
    if (children === undefined) throw pathInvalid('its parent is no directory');
    const next = node ?? implicitDirectory(directory);
    children.set(name, { node: next, layer });
    directory = next;
  }
  return directory;
}

/** What a hard link points at: the way there follows links, the last name does not. */
function hardLinkTarget(tree: Tree, target: ByteString): TreeNode {
  const { way, name } = splitPath(target);
  const node = childrenOf(endOf(tree, resolveWay(tree, way, name)))?.get(name)?.node;
  if (node === undefined) throw corrupt(`its hard link target ${shown(target)} does not exist`);
  if (childrenOf(node) !== undefined) throw corrupt(`its hard link target ${shown(target)} is a directory`);
  return node;
}

function applyWhiteout(tree: Tree, directory: TreeNode | undefined, name: ByteString, layer: number): void {
  const hidden = name.slice(WHITEOUT.length) as ByteString;
  if (hidden === '' || hidden === '.' || hidden === '..') throw pathInvalid('a whiteout of no name');
  if (directory === undefined) return;
  if (name === OPAQUE) {
    tree.purge(directory, layer);
    return;
  }
  const children = childrenOf(directory);
  const child = children?.get(hidden);
  if (child?.layer === layer) tree.purge(child.node, layer);
  else children?.delete(hidden);
}
