import type { ByteString } from '../../archive/index.ts';
import { limitExceeded } from '../failure.ts';
import { MAX_NAME_BYTES, shown } from '../tar/names.ts';
import { childrenOf, type Tree, type TreeNode } from './tree.ts';

/** A name of the merged tree. */
export interface NamedNode {
  /** Absolute; `/` is the root. */
  readonly path: ByteString;
  readonly node: TreeNode;
}

/** The merged tree as archives list it. */
export interface MergedImage {
  /** In byte order of whole paths. */
  readonly names: readonly NamedNode[];
  readonly warnings: { readonly droppedWhiteoutDevices: number };
}

/** What one system call can name. */
const MAX_PATH_BYTES = 4096;

/** Lists a tree. Character devices 0:0 are left out: to an overlay put on top they are whiteouts. Throws LIMIT_EXCEEDED. */
export function listTree(tree: Tree): MergedImage {
  const names: NamedNode[] = [{ path: '/' as ByteString, node: tree.root }];
  let droppedWhiteoutDevices = 0;
  const pending: { readonly prefix: string; readonly node: TreeNode }[] = [{ prefix: '/', node: tree.root }];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    for (const [name, { node }] of childrenOf(folder.node) ?? []) {
      if (node.body.type === 'character' && node.body.major === 0 && node.body.minor === 0) {
        droppedWhiteoutDevices += 1;
        continue;
      }
      const path = `${folder.prefix}${name}` as ByteString;
      // only names that links led to can be too long here
      if (name.length > MAX_NAME_BYTES)
        throw limitExceeded(`the ${name.length} bytes of name ${shown(name)}`, MAX_NAME_BYTES);
      if (path.length > MAX_PATH_BYTES)
        throw limitExceeded(`the ${path.length} bytes of path ${shown(path)}`, MAX_PATH_BYTES);
      names.push({ path, node });
      if (node.body.type === 'directory') pending.push({ prefix: `${path}/`, node });
    }
  }
  names.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { names, warnings: { droppedWhiteoutDevices } };
}
