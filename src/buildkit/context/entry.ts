import type { BytePath } from './byte-path.ts';

/** One file of a context as it is announced to the daemon (fsutil `types.Stat`; owner and group are always 0). */
export interface ContextEntry {
  readonly path: BytePath;
  /** Go's `os.FileMode`, not `st_mode`. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
  /** A symbolic link's target, or the entry that this one is a hard link to. */
  readonly linkName: BytePath | undefined;
  readonly device: { readonly major: number; readonly minor: number } | undefined;
}

/** Bits of Go's `os.FileMode` (package io/fs, "FileMode"). */
const MODE_DIR = 2 ** 31;
const MODE_SYMLINK = 2 ** 27;
const MODE_DEVICE = 2 ** 26;
const MODE_NAMED_PIPE = 2 ** 25;
const MODE_SETUID = 2 ** 23;
const MODE_SETGID = 2 ** 22;
const MODE_CHAR_DEVICE = 2 ** 21;
const MODE_STICKY = 2 ** 20;
const MODE_TYPES = [MODE_DIR, MODE_SYMLINK, MODE_DEVICE, MODE_NAMED_PIPE];

const TYPE_MASK = 0o170000;
const TYPES = new Map([
  [0o040000, MODE_DIR],
  [0o120000, MODE_SYMLINK],
  [0o060000, MODE_DEVICE],
  [0o020000, MODE_DEVICE + MODE_CHAR_DEVICE],
  [0o010000, MODE_NAMED_PIPE],
]);

/** `st_mode` as Go's `os.FileMode`. A socket comes out as a regular file, as the archive format has no sockets. */
export function goMode(stMode: number): number {
  const special =
    ((stMode & 0o4000) !== 0 ? MODE_SETUID : 0) +
    ((stMode & 0o2000) !== 0 ? MODE_SETGID : 0) +
    ((stMode & 0o1000) !== 0 ? MODE_STICKY : 0);
  // Added, not or-ed: the directory bit is the sign bit of a 32-bit integer.
  return (TYPES.get(stMode & TYPE_MASK) ?? 0) + special + (stMode & 0o777);
}

/** Whether the daemon may ask for the bytes of an entry: it has no type bit. Sender and receiver number files by this rule. */
export function hasContent({ mode }: Pick<ContextEntry, 'mode'>): boolean {
  return MODE_TYPES.every((bit) => Math.floor(mode / bit) % 2 === 0);
}

/** Major and minor of a `st_rdev` (Linux, `gnu_dev_major`). */
export function deviceOf(rdev: bigint): { major: number; minor: number } {
  return {
    major: Number((rdev >> 8n) & 0xfffn),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n)),
  };
}

/** What an entry is. A hard link is a file that names another entry. */
export function entryType({
  linkName,
  mode,
}: ContextEntry): 'directory' | 'symbolicLink' | 'character' | 'block' | 'pipe' | 'hardLink' | 'file' {
  const has = (bit: number) => Math.floor(mode / bit) % 2 === 1;
  if (has(MODE_DIR)) return 'directory';
  if (has(MODE_SYMLINK)) return 'symbolicLink';
  if (has(MODE_DEVICE)) return has(MODE_CHAR_DEVICE) ? 'character' : 'block';
  if (has(MODE_NAMED_PIPE)) return 'pipe';
  return linkName === undefined ? 'file' : 'hardLink';
}
