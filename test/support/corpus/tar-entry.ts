/** A tar writer that can write what no well-behaved tool writes. Layout: POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU tar. */

export type Bytes = string | Uint8Array;

export interface TarEntry {
  readonly name: Bytes;
  /** The type flag; `'\0'` is the old one for a file. */
  readonly type: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs?: bigint;
  readonly linkName?: Bytes;
  readonly device?: readonly [major: number, minor: number];
  readonly data?: Bytes;
  /** `pax` (default) puts into records what does not fit; `gnu` uses long-name entries and base-256 numbers; `v7` has no magic. */
  readonly format?: 'pax' | 'gnu' | 'v7';
  /** Extended attributes, written as SCHILY.xattr records. */
  readonly xattrs?: Readonly<Record<string, Bytes>>;
  /** More pax records, as they are. */
  readonly records?: readonly (readonly [key: string, value: Bytes])[];
  /** Writes over the finished header before its checksum is made. */
  readonly patch?: (header: Buffer) => void;
}

const BLOCK = 512;
/** 2026-01-01, the time of everything that does not say otherwise. */
export const DEFAULT_MTIME_NS = 1_767_225_600_000_000_000n;
const SECOND = 1_000_000_000n;

export const bytes = (value: Bytes): Buffer =>
  typeof value === 'string' ? Buffer.from(value, 'utf8') : Buffer.from(value);

/** Bytes filled up with zeros to a whole block. */
export function padded(value: Bytes): Buffer {
  const data = bytes(value);
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

/** A tar stream: the entries and the two empty blocks of the end. */
export function tarStream(parts: readonly (TarEntry | Buffer)[]): Buffer {
  return Buffer.concat([
    ...parts.map((part) => (Buffer.isBuffer(part) ? part : tarEntry(part))),
    Buffer.alloc(2 * BLOCK),
  ]);
}

/** One entry with the records that belong before it. */
export function tarEntry(entry: TarEntry): Buffer {
  const format = entry.format ?? 'pax';
  const name = bytes(entry.name);
  const linkName = bytes(entry.linkName ?? '');
  const before =
    format === 'gnu'
      ? [longName('L', name), longName('K', linkName)]
      : format === 'pax'
        ? [paxEntry(recordsOf(entry))]
        : [];
  return Buffer.concat([...before, header(entry, format), padded(entry.data ?? '')]);
}

/** A pax header entry (`x`, or `g` for all that follow); empty when there are no records. */
export function paxEntry(records: readonly (readonly [key: string, value: Bytes])[], type: 'x' | 'g' = 'x'): Buffer {
  if (records.length === 0) return Buffer.alloc(0);
  const data = Buffer.concat(records.map(([key, value]) => paxRecord(key, bytes(value))));
  return Buffer.concat([header({ name: 'PaxHeaders/records', type, data }, 'pax'), padded(data)]);
}

/** `length key=value\n`, where length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function recordsOf({
  name,
  linkName = '',
  uid = 0,
  gid = 0,
  mtimeNs = DEFAULT_MTIME_NS,
  xattrs = {},
  records = [],
}: TarEntry) {
  const out: [string, Bytes][] = [];
  if (bytes(name).length > 100) out.push(['path', name]);
  if (bytes(linkName).length > 100) out.push(['linkpath', linkName]);
  if (uid > 0o7777777) out.push(['uid', String(uid)]);
  if (gid > 0o7777777) out.push(['gid', String(gid)]);
  if (mtimeNs < 0n || mtimeNs % SECOND !== 0n) out.push(['mtime', paxTime(mtimeNs)]);
  for (const [key, value] of Object.entries(xattrs)) out.push([`SCHILY.xattr.${key}`, value]);
  return [...out, ...records];
}

/** Seconds with nine decimals; a negative time has the sign before the whole number. */
function paxTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  return `${ns < 0n ? '-' : ''}${magnitude / SECOND}.${String(magnitude % SECOND).padStart(9, '0')}`;
}

function longName(type: 'L' | 'K', value: Buffer): Buffer {
  if (value.length <= 100) return Buffer.alloc(0);
  const data = Buffer.concat([value, Buffer.alloc(1)]);
  return Buffer.concat([header({ name: '././@LongLink', type, data }, 'gnu'), padded(data)]);
}

function header(entry: TarEntry, format: 'pax' | 'gnu' | 'v7'): Buffer {
  const { type, mode = 0o644, uid = 0, gid = 0, mtimeNs = DEFAULT_MTIME_NS, device = [0, 0] } = entry;
  const block = Buffer.alloc(BLOCK);
  const seconds = mtimeNs >= 0n ? mtimeNs / SECOND : -((-mtimeNs + SECOND - 1n) / SECOND);
  const wide = format === 'gnu';
  bytes(entry.name).copy(block, 0, 0, 100);
  number(block, 100, 8, BigInt(mode), wide);
  number(block, 108, 8, BigInt(uid), wide);
  number(block, 116, 8, BigInt(gid), wide);
  number(block, 124, 12, BigInt(bytes(entry.data ?? '').length), wide);
  number(block, 136, 12, seconds, wide);
  block.write(type, 156, 'latin1');
  bytes(entry.linkName ?? '').copy(block, 157, 0, 100);
  if (format !== 'v7') block.write(format === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  if (type === '3' || type === '4') {
    number(block, 329, 8, BigInt(device[0]), wide);
    number(block, 337, 8, BigInt(device[1]), wide);
  }
  entry.patch?.(block);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Octal with a NUL; where that does not fit, base-256 (`wide`) or 0, because a pax record has the value. */
export function number(block: Buffer, offset: number, width: number, value: bigint, wide: boolean): void {
  const digits = value.toString(8);
  if (value >= 0n && digits.length < width) {
    block.write(`${digits.padStart(width - 1, '0')}\0`, offset, 'latin1');
    return;
  }
  if (!wide) {
    block.write(`${'0'.repeat(width - 1)}\0`, offset, 'latin1');
    return;
  }
  let rest = BigInt.asUintN(8 * width, value);
  for (let at = offset + width - 1; at >= offset; at -= 1, rest >>= 8n) block[at] = Number(rest & 0xffn);
  block[offset] = value < 0n ? 0xff : 0x80 | (block[offset] ?? 0);
}
