import type { TreeEntry, TreeSnapshot } from './snapshot.ts';

export interface CompareOptions {
  /** Paths that one side may have, lack or have otherwise. */
  readonly paths?: ReadonlySet<string>;
  /** Paths whose mtime says nothing: the root and folders that no layer has an entry for. */
  readonly times?: ReadonlySet<string>;
  /** Attribute names that are not compared. */
  readonly xattrs?: RegExp;
  /** Fields that are not compared at all. */
  readonly fields?: readonly (keyof TreeEntry)[];
}

/** How two trees differ, a line for each path and field; empty when they do not. */
export function compareTrees(left: TreeSnapshot, right: TreeSnapshot, ignore: CompareOptions = {}): readonly string[] {
  const paths = [...new Set([...left.keys(), ...right.keys()])]
    .filter((path) => ignore.paths?.has(path) !== true)
    .sort();
  return paths.flatMap((path) => {
    const [a, b] = [left.get(path), right.get(path)];
    if (a === undefined || b === undefined)
      return [`${JSON.stringify(path)}: only ${a === undefined ? 'right' : 'left'}`];
    return FIELDS.filter(
      (field) => ignore.fields?.includes(field) !== true && !(field === 'mtimeNs' && ignore.times?.has(path) === true),
    ).flatMap((field) => {
      const [x, y] = [shown(a, field, ignore), shown(b, field, ignore)];
      return x === y ? [] : [`${JSON.stringify(path)}: ${field} ${x} | ${y}`];
    });
  });
}

const FIELDS: readonly (keyof TreeEntry)[] = [
  'type',
  'mode',
  'uid',
  'gid',
  'sizeBytes',
  'mtimeNs',
  'links',
  'sameAs',
  'target',
  'device',
  'xattrs',
  'sha256',
];

function shown(entry: TreeEntry, field: keyof TreeEntry, { xattrs }: CompareOptions): string {
  if (field === 'mode') return entry.mode.toString(8);
  if (field !== 'xattrs') return String(entry[field]);
  const kept = Object.entries(entry.xattrs).filter(([name]) => xattrs?.test(name) !== true);
  return JSON.stringify(kept.sort(([a], [b]) => (a < b ? -1 : 1)));
}
