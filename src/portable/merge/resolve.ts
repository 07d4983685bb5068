import type { ByteString } from '../../archive/index.ts';
import { limitExceeded, pathInvalid } from '../failure.ts';
import { shown } from '../tar/names.ts';
import { childrenOf, type Tree, type TreeNode } from './tree.ts';

/** Links that may be followed for one path, as in the library that container engines use. */
const MAX_LINKS = 255;
/** Bytes of a path after all links are followed; Linux takes 4095. */
const MAX_PATH_BYTES = 4095;

/** One component of a resolved path: a name, and what is there. */
export interface Step {
  readonly name: ByteString;
  readonly node: TreeNode | undefined;
}

/** A path as the names on its way and its last one, which is never followed. */
export function splitPath(path: ByteString): { readonly way: readonly ByteString[]; readonly name: ByteString } {
  const names = path.split('/') as ByteString[];
  return { way: names.slice(0, -1), name: names.at(-1) ?? path };
}

/**
 * Follows the way to a name, never out of the root. What does not exist is taken as it is called, so that it can be made.
 * Throws LAYER_PATH_INVALID, LIMIT_EXCEEDED.
 */
export function resolveWay(tree: Tree, way: readonly ByteString[], name: ByteString): readonly Step[] {
  const steps: Step[] = [];
  const pending = way.toReversed();
  let links = 0;
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      steps.pop();
      continue;
    }
    const last = steps.at(-1);
    const node = childrenOf(last === undefined ? tree.root : last.node)?.get(part)?.node;
    if (node?.body.type !== 'symlink') {
      steps.push({ name: part, node });
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw pathInvalid(`${shown(part)}: more than ${MAX_LINKS} symbolic links`);
    const { target } = node.body;
    if (target.startsWith('/')) steps.length = 0;
    const parts = target.split('/') as ByteString[];
    for (let at = parts.length - 1; at >= 0; at -= 1) pending.push(parts[at] ?? part);
    tree.spend(parts.length);
  }
  const bytes = steps.reduce((sum, step) => sum + step.name.length + 1, name.length);
  if (bytes > MAX_PATH_BYTES)
    throw limitExceeded(`the ${bytes} bytes of a path after its links were followed`, MAX_PATH_BYTES);
  return steps;
}

/** Where a resolved way ends; undefined when it is not there. */
export function endOf(tree: Tree, steps: readonly Step[]): TreeNode | undefined {
  const last = steps.at(-1);
  return last === undefined ? tree.root : last.node;
}
