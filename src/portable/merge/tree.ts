import type { ByteString } from '../../archive/index.ts';
import type { Attributes, DeviceKind, FileKind } from '../entry.ts';
import { limitExceeded } from '../failure.ts';

/** A file of whatever type while layers are applied; hard links are several names for one. */
export interface TreeNode {
  attributes: Attributes;
  readonly body: Body;
}

export type Body =
  | Directory
  /** `layer` is the layer whose tar has the data. */
  | (FileKind & { readonly layer: number })
  | DeviceKind
  | { readonly type: 'symlink'; readonly target: ByteString }
  | { readonly type: 'fifo' };

export interface Directory {
  readonly type: 'directory';
  readonly children: Map<ByteString, Child>;
}

/** A name in a directory. */
export interface Child {
  readonly node: TreeNode;
  /** The last layer that made this name or something below it: whiteouts spare what their own layer made. */
  readonly layer: number;
}

const SETGID = 0o2000;
/** Names a merge may look at because of links and whiteouts; hostile layers would take hours without a bound. */
const MAX_WORK = 100_000_000;

/** A directory nobody described: 0755, root, 1970; below a setgid directory it takes group and bit, as mkdir(2) does. */
export function implicitDirectory(parent?: TreeNode): TreeNode {
  const inherits = parent !== undefined && (parent.attributes.permissions & SETGID) !== 0;
  return {
    attributes: {
      permissions: inherits ? SETGID | 0o755 : 0o755,
      uid: 0,
      gid: inherits ? parent.attributes.gid : 0,
      mtime: { seconds: 0n, nanos: 0 },
    },
    body: { type: 'directory', children: new Map() },
  };
}

/** The tree under a root, and how much work it was to follow links and whiteouts in it. */
export class Tree {
  readonly root = implicitDirectory();
  #work = 0;

  /** Counts names that were looked at. Throws LIMIT_EXCEEDED. */
  spend(names: number): void {
    this.#work += names;
    if (this.#work > MAX_WORK) throw limitExceeded('names behind links and whiteouts', MAX_WORK);
  }

  /** Removes below a node, at any depth, every name that `layer` did not make. */
  purge(start: TreeNode, layer: number): void {
    const pending = [start];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      const children = childrenOf(node);
      if (children === undefined) continue;
      const names = children.size;
      for (const [name, child] of children) {
        if (child.layer === layer) pending.push(child.node);
        else children.delete(name);
      }
      this.spend(names);
    }
  }
}

/** The names in a directory; undefined for anything else, and for what does not exist. */
export function childrenOf(node: TreeNode | undefined): Map<ByteString, Child> | undefined {
  return node?.body.type === 'directory' ? node.body.children : undefined;
}
