import { type ByteString, displayOf } from './byte-string.ts';
import type { ClipNode } from './clip-node.ts';
import { type NodeTree, nameOf, resolvePath } from './node-tree.ts';

/** A line of `ls`, and a row of `ls --json`. Names are in their display form (see displayOf). */
export interface ListRow {
  readonly name: string;
  /** As `ls -l` shows it: `drwxr-xr-x`. */
  readonly mode: string;
  /** Type and permission bits. */
  readonly modeBits: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** RFC 3339 in UTC, to the nanosecond where there are any. */
  readonly mtime: string;
  /** Of a symbolic link. */
  readonly target?: string;
  /** Of a device. */
  readonly device?: { readonly major: number; readonly minor: number };
}

/** What a path names: the entries of a folder by byte order, or the one entry. Throws PATH_NOT_FOUND. */
export function listPath(tree: NodeTree, path: ByteString): readonly ListRow[] {
  const node = resolvePath(tree, path, { followLast: false });
  return node.type === 'dir'
    ? tree.childrenOf(node.path).map((child) => rowOf(child, nameOf(child.path)))
    : [rowOf(node, nameOf(node.path))];
}

/** The entry itself, under a name of the caller's choice. */
export function rowOf(node: ClipNode, name: ByteString): ListRow {
  const { mode, links, owner, sizeBytes, mtimeSeconds, mtimeNanos, deviceNumber } = node.attributes;
  return {
    name: displayOf(name),
    mode: modeText(mode),
    modeBits: mode,
    links,
    uid: owner.uid,
    gid: owner.gid,
    sizeBytes,
    mtime: timeText(mtimeSeconds, mtimeNanos),
    ...(node.type === 'symlink' ? { target: displayOf(node.target) } : {}),
    ...(isDevice(mode) ? { device: deviceOf(deviceNumber) } : {}),
  };
}

/** Rows as `ls -l` sets them, a line each. */
export function formatRows(rows: readonly ListRow[]): readonly string[] {
  const cells = rows.map(({ mode, links, uid, gid, sizeBytes, mtime, name, target, device }) => ({
    front: [
      mode,
      String(links),
      String(uid),
      String(gid),
      device === undefined ? String(sizeBytes) : `${device.major},${device.minor}`,
    ],
    back: `${mtime.slice(0, 16).replace('T', ' ')} ${name}${target === undefined ? '' : ` -> ${target}`}`,
  }));
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(0, ...cells.map(({ front }) => front[column]?.length ?? 0)));
  return cells.map(
    ({ front, back }) => `${front.map((cell, column) => cell.padStart(widths[column] ?? 0)).join(' ')} ${back}`,
  );
}

const TYPE_BITS = 0o170000;
const TYPE_LETTERS: ReadonlyMap<number, string> = new Map([
  [0o040000, 'd'],
  [0o100000, '-'],
  [0o120000, 'l'],
  [0o020000, 'c'],
  [0o060000, 'b'],
  [0o010000, 'p'],
  [0o140000, 's'],
]);

/** `drwxr-xr-x` with s, S, t and T for setuid, setgid and sticky. */
export function modeText(mode: number): string {
  const triple = (shift: number, special: number, letter: string): string => {
    const bits = mode >> shift;
    const execute = (bits & 1) !== 0;
    const last = (mode & special) === 0 ? (execute ? 'x' : '-') : execute ? letter : letter.toUpperCase();
    return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${last}`;
  };
  return `${TYPE_LETTERS.get(mode & TYPE_BITS) ?? '?'}${triple(6, 0o4000, 's')}${triple(3, 0o2000, 's')}${triple(0, 0o1000, 't')}`;
}

function isDevice(mode: number): boolean {
  return (mode & TYPE_BITS) === 0o020000 || (mode & TYPE_BITS) === 0o060000;
}

/** The kernel's 32-bit form: minor 0-7, major 8-19, rest of minor 20-31 (include/linux/kdev_t.h, new_encode_dev). */
function deviceOf(number: number): { readonly major: number; readonly minor: number } {
  return { major: (number >>> 8) & 0xfff, minor: (number & 0xff) | ((number >>> 12) & 0xfff00) };
}

// What Date can show (ECMA-262, "Time Values and Time Range").
const MAX_SECONDS = 8_640_000_000_000;

function timeText(seconds: number, nanos: number): string {
  if (Math.abs(seconds) > MAX_SECONDS) return `@${seconds}`;
  const decimals = nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
  return new Date(seconds * 1000).toISOString().replace('.000Z', `${decimals}Z`);
}
