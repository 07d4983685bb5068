import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type BigIntStats, constants, createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a tree has at a path. Paths and targets are strings with one character a byte. */
export interface TreeEntry {
  readonly type: 'dir' | 'file' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of files and links. */
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly links: number;
  /** First path, in byte order, of the file this is a name of. */
  readonly sameAs: string;
  readonly target: string;
  readonly device: bigint;
  /** Name → value in hex. */
  readonly xattrs: Readonly<Record<string, string>>;
  /** sha256 of the bytes of a file. */
  readonly sha256: string;
}

/** A tree by path; the root is `/`. */
export type TreeSnapshot = ReadonlyMap<string, TreeEntry>;

/** Walks a tree on disk without following links. */
export async function snapshotTree(root: string): Promise<TreeSnapshot> {
  const found: [path: string, stats: BigIntStats][] = [];
  const walk = async (path: string): Promise<void> => {
    const full = onDisk(root, path);
    const stats = await lstat(full, { bigint: true });
    found.push([path, stats]);
    if (!stats.isDirectory()) return;
    const names = await readdir(full, { encoding: 'buffer' });
    for (const name of names)
      await walk(path === '/' ? `/${name.toString('latin1')}` : `${path}/${name.toString('latin1')}`);
  };
  await walk('/');
  found.sort(([a], [b]) => (a < b ? -1 : 1));
  const xattrs = await readXattrs(root);
  const firstNames = new Map<bigint, string>();
  const entries = new Map<string, TreeEntry>();
  for (const [path, stats] of found) {
    const type = typeOf(stats);
    if (!firstNames.has(stats.ino)) firstNames.set(stats.ino, path);
    entries.set(path, {
      type,
      mode: Number(stats.mode) & 0o7777,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      sizeBytes: type === 'file' || type === 'symlink' ? Number(stats.size) : 0,
      mtimeNs: stats.mtimeNs,
      links: type === 'dir' ? 0 : Number(stats.nlink),
      sameAs: firstNames.get(stats.ino) ?? path,
      target: type === 'symlink' ? (await readlink(onDisk(root, path), { encoding: 'buffer' })).toString('latin1') : '',
      device: type === 'char' || type === 'block' ? stats.rdev : 0n,
      xattrs: xattrs.get(path) ?? {},
      sha256: type === 'file' ? await hashFile(onDisk(root, path)) : '',
    });
  }
  return entries;
}

function onDisk(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(root), Buffer.from(path, 'latin1')]);
}

function typeOf(stats: BigIntStats): TreeEntry['type'] {
  switch (Number(stats.mode) & constants.S_IFMT) {
    case constants.S_IFDIR:
      return 'dir';
    case constants.S_IFLNK:
      return 'symlink';
    case constants.S_IFCHR:
      return 'char';
    case constants.S_IFBLK:
      return 'block';
    case constants.S_IFIFO:
      return 'fifo';
    case constants.S_IFSOCK:
      return 'socket';
    default:
      return 'file';
  }
}

async function hashFile(path: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** All attributes of a tree in one go, by getfattr(1), which writes odd bytes of names as `\ooo`. */
async function readXattrs(root: string): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>> {
  const { stdout } = await run('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', root], {
    encoding: 'latin1',
    maxBuffer: 2 ** 28,
  }).catch(requireNoAttributes);
  const byPath = new Map<string, Record<string, string>>();
  for (const block of stdout.split('\n\n').filter((text) => text.trim() !== '')) {
    const [head = '', ...lines] = block.split('\n').filter((line) => line !== '');
    const path = unescapeName(head.replace('# file: ', '')).slice(root.length);
    byPath.set(path === '' ? '/' : path, Object.fromEntries(lines.map((line) => splitAttribute(line))));
  }
  return byPath;
}

/** Engine fuse says of an image without attributes that it has none, once and for all. */
function requireNoAttributes(thrown: unknown): { readonly stdout: string } {
  const { stderr, stdout } = thrown as { readonly stderr: string; readonly stdout: string };
  const isAllRefused = stderr.split('\n').every((line) => line === '' || line.endsWith(': Operation not supported'));
  if (stdout !== '' || stderr === '' || !isAllRefused) throw thrown;
  return { stdout };
}

function splitAttribute(line: string): [name: string, hex: string] {
  const split = line.indexOf('=');
  if (split < 0) return [unescapeName(line), ''];
  return [
    unescapeName(line.slice(0, split)),
    line
      .slice(split + 1)
      .replace(/^0x/, '')
      .replace(/^""$/, ''),
  ];
}

function unescapeName(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
