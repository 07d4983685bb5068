import { type ByteString, bytesOf, type ClipNode, displayOf } from '../archive/index.ts';
import { WorkerError } from '../errors/index.ts';

const BLOCK_BYTES = 512;
const NS_PER_SECOND = 1_000_000_000n;
/** Bits of `st_mode` that say what a node of type `file` is. */
const TYPE_BITS = 0o170000;
const SOCKET = 0o140000;
/** `st_mode` type → tar type, of nodes without data. */
const SPECIAL: ReadonlyMap<number, string> = new Map([
  [0o020000, '3'],
  [0o060000, '4'],
  [0o010000, '6'],
]);
/** A name that a layer cannot hold: it would take another one away (OCI image-spec 1.1, layer.md, "Whiteouts"). */
const WHITEOUT = '.wh.';

/** What went into the plan, known at its end. */
export interface V1Report {
  readonly sockets: number;
}

/**
 * The plan (native-tools/crates/layer-index/src/source/planned.rs) of a V1 archive's tree as one plain tar: headers are given, with
 * PAX records wherever ustar has no room; bytes of files are stretches of the file of `dataBytes` that has them, with their sha256 where
 * the archive has one. Names of one inode become hard links. Sockets, which tar does not know, are left out and counted. Throws
 * ARCHIVE_CORRUPT, and ARCHIVE_NOT_LAZY for names that no layer can hold.
 */
export function* v1Plan(nodes: Iterable<ClipNode>, dataBytes: number): Generator<Buffer, V1Report> {
  const firstNames = new Map<string, ByteString>();
  let [left, sockets] = [dataBytes, 0];
  for (const node of nodes) {
    requireLayerName(node.path);
    if (node.type === 'file' && (node.attributes.mode & TYPE_BITS) === SOCKET) {
      sockets += 1;
      continue;
    }
    const inode = inodeOf(node);
    const first = inode === undefined ? undefined : firstNames.get(inode);
    if (first !== undefined) {
      yield given(...entry(node, '1', 0, first));
      continue;
    }
    if (inode !== undefined) firstNames.set(inode, node.path);
    const type = typeOf(node);
    const sizeBytes = type === '0' ? node.dataBytes : 0;
    // Blocks of files do not overlap: a list that says so could make a terabyte of a megabyte.
    left -= sizeBytes;
    if (left < 0) throw corrupt('the files of the archive are longer than the archive');
    yield given(...entry(node, type, sizeBytes, node.target));
    if (sizeBytes > 0) {
      yield stretch(node);
      yield given(padding(sizeBytes));
    }
  }
  yield given(Buffer.alloc(2 * BLOCK_BYTES));
  return { sockets };
}

function given(...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function stretch({ contentHash, dataBytes, dataOffset, path }: ClipNode): Buffer {
  const head = Buffer.alloc(17, contentHash === '' ? 1 : 2);
  head.writeBigUInt64LE(BigInt(dataOffset), 1);
  head.writeBigUInt64LE(BigInt(dataBytes), 9);
  if (contentHash !== '' && !/^[0-9a-f]{64}$/.test(contentHash))
    throw corrupt(`the digest of ${displayOf(path)} is no sha256`);
  return Buffer.concat([head, Buffer.from(contentHash, 'hex')]);
}

function requireLayerName(path: ByteString): void {
  if (!path.startsWith('/') || path.split('/').some((part) => part.startsWith(WHITEOUT)))
    throw new WorkerError(
      'ARCHIVE_NOT_LAZY',
      `${displayOf(path)}: no layer can hold this name, so it cannot be mounted`,
    );
}

/** What names of one file have in common; undefined for what has one name, or none of its own. */
function inodeOf({ attributes, dataOffset, type }: ClipNode): string | undefined {
  const { inode, links, mode } = attributes;
  return type !== 'dir' && links > 1 ? [inode, mode, dataOffset].join() : undefined;
}

function typeOf({ attributes, type }: ClipNode): string {
  if (type === 'dir') return '5';
  if (type === 'symlink') return '2';
  return SPECIAL.get(attributes.mode & TYPE_BITS) ?? '0';
}

/** The header of an entry, behind PAX records for what does not fit into it. */
function* entry(node: ClipNode, type: string, sizeBytes: number, link: ByteString): Generator<Buffer> {
  const { deviceNumber, mode, mtimeNanos, mtimeSeconds, owner } = node.attributes;
  const name = node.path === '/' ? './' : `${node.path.slice(1)}${type === '5' ? '/' : ''}`;
  const target = type === '1' ? link.slice(1) : type === '2' ? link : '';
  const records = [
    record('path', name, fitsName(name)),
    record('linkpath', target, fitsName(target)),
    record('size', String(sizeBytes), sizeBytes < 8 ** 11),
    record('uid', String(owner.uid), owner.uid < 8 ** 7),
    record('gid', String(owner.gid), owner.gid < 8 ** 7),
    record('mtime', seconds(mtimeSeconds, mtimeNanos), mtimeNanos === 0 && mtimeSeconds >= 0 && mtimeSeconds < 8 ** 11),
  ];
  const extended = Buffer.concat(records);
  if (extended.length > 0) {
    yield header({ name: 'pax', type: 'x', sizeBytes: extended.length, mode: 0o644 });
    yield Buffer.concat([extended, padding(extended.length)]);
  }
  yield header({
    name: name.slice(0, 100),
    type,
    sizeBytes: sizeBytes < 8 ** 11 ? sizeBytes : 0,
    mode: mode & 0o7777,
    uid: owner.uid < 8 ** 7 ? owner.uid : 0,
    gid: owner.gid < 8 ** 7 ? owner.gid : 0,
    mtime: Math.min(Math.max(mtimeSeconds, 0), 8 ** 11 - 1),
    link: target.slice(0, 100),
    ...((type === '3' || type === '4') && deviceOf(deviceNumber)),
  });
}

/** As Linux packs it into 32 bits (`new_encode_dev`). */
function deviceOf(number: number): { readonly major: number; readonly minor: number } {
  return { major: (number >>> 8) & 0xfff, minor: (number & 0xff) | ((number >>> 12) & 0xfff00) };
}

function fitsName(name: string): boolean {
  return name.length <= 100 && /^[\u0020-\u007e]*$/.test(name);
}

function seconds(whole: number, nanos: number): string {
  const total = BigInt(whole) * NS_PER_SECOND + BigInt(nanos);
  const size = total < 0n ? -total : total;
  const fraction = String(size % NS_PER_SECOND).padStart(9, '0');
  return `${total < 0n ? '-' : ''}${size / NS_PER_SECOND}.${fraction}`;
}

/** One record, its length in front of it; nothing when the header says it. */
function record(key: string, value: string, inHeader: boolean): Buffer {
  if (inHeader) return Buffer.alloc(0);
  const rest = Buffer.concat([Buffer.from(` ${key}=`), bytesOf(value as ByteString), Buffer.from('\n')]);
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

interface HeaderFields {
  readonly name: string;
  readonly type: string;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string;
  readonly major?: number;
  readonly minor?: number;
}

/** POSIX ustar. Strings are bytes, one a character. */
function header({ gid = 0, link = '', major = 0, minor = 0, mode, mtime = 0, name, ...rest }: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const number = (value: number, offset: number, length: number) =>
    block.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1');
  block.write(name, 0, 100, 'latin1');
  number(mode, 100, 8);
  number(rest.uid ?? 0, 108, 8);
  number(gid, 116, 8);
  number(rest.sizeBytes, 124, 12);
  number(mtime, 136, 12);
  block.fill(' ', 148, 156);
  block.write(rest.type, 156, 'latin1');
  block.write(link, 157, 100, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  number(major, 329, 8);
  number(minor, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'latin1');
  return block;
}

function padding(length: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES);
}

function corrupt(message: string): WorkerError {
  return new WorkerError('ARCHIVE_CORRUPT', message);
}
