import { WorkerError } from '../errors/index.ts';
import { type ByteString, displayOf } from './byte-string.ts';
import type { ClipNode } from './clip-node.ts';

/** Linux follows as many links in one path (path_resolution(7)). */
const MAX_LINKS = 40;

/** The node list by path and by folder, in byte order. Of nodes with one path the last counts, as in CLIP readers. */
export interface NodeTree {
  readonly size: number;
  readonly get: (path: ByteString) => ClipNode | undefined;
  readonly childrenOf: (path: ByteString) => readonly ClipNode[];
  readonly all: () => IterableIterator<ClipNode>;
}

export function nodeTree(nodes: readonly ClipNode[]): NodeTree {
  const byPath = new Map(nodes.map((node) => [node.path, node]));
  const children = new Map<string, ClipNode[]>();
  for (const node of byPath.values()) {
    if (node.path === '/') continue;
    const parent = parentOf(node.path);
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [node]);
    else siblings.push(node);
  }
  for (const siblings of children.values()) siblings.sort((a, b) => (a.path < b.path ? -1 : 1));
  return {
    size: byPath.size,
    get: (path) => byPath.get(path),
    childrenOf: (path) => children.get(path) ?? [],
    all: () => byPath.values(),
  };
}

/** The last part of a path; `/` for the root. */
export function nameOf(path: ByteString): ByteString {
  return path === '/' ? path : (path.slice(path.lastIndexOf('/') + 1) as ByteString);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 1));
}

/**
 * The node a path leads to from the root of the image. Links on the way are followed inside the root; one at the end
 * only when asked for. Throws PATH_NOT_FOUND.
 */
export function resolvePath(tree: NodeTree, path: ByteString, options: { readonly followLast: boolean }): ClipNode {
  const missing = () =>
    new WorkerError('PATH_NOT_FOUND', `${displayOf(path)} is not in the archive`, { path: displayOf(path) });
  let rest: string[] = path.split('/');
  let at = '/';
  const followLast = options.followLast || path.endsWith('/');
  for (let links = 0; rest.length > 0; ) {
    const [name = '', ...behind] = rest;
    rest = behind;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at = parentOf(at);
      continue;
    }
    if (tree.get(at as ByteString)?.type !== 'dir') throw missing();
    const next = at === '/' ? `/${name}` : `${at}/${name}`;
    const node = tree.get(next as ByteString);
    if (node === undefined) throw missing();
    if (node.type !== 'symlink' || (rest.every((part) => part === '') && !followLast)) {
      at = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS)
      throw new WorkerError('PATH_NOT_FOUND', `${displayOf(path)} leads through more than ${MAX_LINKS} links`);
    if (node.target.startsWith('/')) at = '/';
    rest = [...node.target.split('/'), ...rest];
  }
  const node = tree.get(at as ByteString);
  if (node === undefined || (path.endsWith('/') && node.type !== 'dir')) throw missing();
  return node;
}
