import { type BytePath, bytesOfPath } from './byte-path.ts';
import { type ContextEntry, entryType } from './entry.ts';

const BLOCK_BYTES = 512;
/** Largest size that eleven octal digits hold (POSIX pax, "ustar Interchange Format"). */
const MOST_OCTAL = 0o77777777777;

/** The header blocks of an entry: ustar, with a pax header before it for what ustar cannot hold. Owner and group are 0. */
export function tarHeader(entry: ContextEntry): Buffer {
  const type = entryType(entry);
  const path = type === 'directory' ? `${entry.path}/` : entry.path;
  // A symbolic link has the size of its target, which tar keeps in the header.
  const sizeBytes = type === 'file' ? entry.sizeBytes : 0;
  const records = paxRecords(path, { ...entry, sizeBytes });
  const pax = records.length === 0 ? [] : [ustar('PaxHeader', 'x', records.length), padded(records)];
  return Buffer.concat([...pax, ustar(path, TYPE_FLAGS[type], sizeBytes, entry)]);
}

/** Zeros from the end of a file to the next block. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

export const TAR_END = Buffer.alloc(2 * BLOCK_BYTES);

const TYPE_FLAGS: Readonly<Record<ReturnType<typeof entryType>, string>> = {
  file: '0',
  hardLink: '1',
  symbolicLink: '2',
  character: '3',
  block: '4',
  directory: '5',
  pipe: '6',
};

function paxRecords(path: BytePath, { linkName = '', modifiedNs, sizeBytes }: ContextEntry): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: Buffer) => {
    records.push(paxRecord(key, value));
  };
  if (path.length > 100) add('path', bytesOfPath(path));
  if (linkName.length > 100) add('linkpath', bytesOfPath(linkName));
  if (sizeBytes > MOST_OCTAL) add('size', Buffer.from(String(sizeBytes)));
  const fraction = modifiedNs % 1_000_000_000n;
  if (fraction !== 0n || modifiedNs < 0n) add('mtime', Buffer.from(secondsOf(modifiedNs)));
  return Buffer.concat(records);
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function secondsOf(ns: bigint): string {
  const sign = ns < 0n ? '-' : '';
  const size = ns < 0n ? -ns : ns;
  return `${sign}${size / 1_000_000_000n}.${(size % 1_000_000_000n).toString().padStart(9, '0')}`;
}

function ustar(path: BytePath, type: string, sizeBytes: number, entry?: ContextEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const put = (at: number, bytes: Buffer | string, most: number) => Buffer.from(bytes).copy(block, at, 0, most);
  const octal = (at: number, width: number, value: number) =>
    put(
      at,
      value
        .toString(8)
        .padStart(width - 1, '0')
        .slice(-(width - 1)),
      width - 1,
    );
  const seconds = entry === undefined || entry.modifiedNs < 0n ? 0 : Number(entry.modifiedNs / 1_000_000_000n);
  put(0, bytesOfPath(path), 100);
  octal(100, 8, entry === undefined ? 0o644 : modeBits(entry.mode));
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, sizeBytes > MOST_OCTAL ? 0 : sizeBytes);
  octal(136, 12, Math.min(seconds, MOST_OCTAL));
  put(148, '        ', 8);
  put(156, type, 1);
  put(157, bytesOfPath(entry?.linkName ?? ''), 100);
  put(257, 'ustar\x0000', 8);
  octal(329, 8, entry?.device?.major ?? 0);
  octal(337, 8, entry?.device?.minor ?? 0);
  octal(
    148,
    7,
    block.reduce((sum, byte) => sum + byte, 0),
  );
  block[154] = 0;
  block[155] = 0x20;
  return block;
}

/** Permissions with setuid, setgid and sticky, out of Go's `os.FileMode`. */
function modeBits(mode: number): number {
  const has = (bit: number) => Math.floor(mode / 2 ** bit) % 2 === 1;
  return (mode & 0o777) | (has(23) ? 0o4000 : 0) | (has(22) ? 0o2000 : 0) | (has(20) ? 0o1000 : 0);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, tarPadding(bytes.length)]);
}
