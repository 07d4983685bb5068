import type { ByteString } from '../../archive/index.ts';
import type { Limits } from '../../config/index.ts';
import type { Entry, EntryKind, FileKind, LayerWarnings, Time } from '../entry.ts';
import { corrupt } from '../failure.ts';
import type { TarHeader } from './header.ts';
import { checkedPath, checkedTarget, shown } from './names.ts';
import { decimal, decimalTime } from './numbers.ts';
import type { PaxRecords } from './pax.ts';
import { checkXattrs } from './xattrs.ts';

/** What the headers before an entry's own say about it. */
export interface Overrides {
  readonly pax: PaxRecords;
  /** Of GNU's long-name entries; empty when there was none. They win over PAX records, as in Go's reader. */
  readonly longName: ByteString;
  readonly longLink: ByteString;
}

export const NO_OVERRIDES: Overrides = { pax: new Map(), longName: '' as ByteString, longLink: '' as ByteString };

/** An entry's header with its PAX records and long names merged in. */
export interface MergedHeader extends Omit<TarHeader, 'mtime'> {
  readonly mtime: Time;
  readonly pax: PaxRecords;
}

const MAX_ID = 0xffff_ffffn;
/** What a device number of the kernel holds (include/linux/kdev_t.h). */
const MAX_MAJOR = 0xfffn;
const MAX_MINOR = 0xfffffn;

/** Throws LAYER_CORRUPT. */
export function mergeHeader(header: TarHeader, { pax, longName, longLink }: Overrides): MergedHeader {
  const text = (key: string): string | undefined => pax.get(key) || undefined;
  const read = <T>(key: string, parse: (value: string) => T | undefined): T | undefined => {
    const value = text(key);
    const parsed = value === undefined ? undefined : parse(value);
    if (value !== undefined && parsed === undefined) throw corrupt(`PAX record ${key} has a value that cannot be`);
    return parsed;
  };
  for (const key of ['atime', 'ctime']) read(key, decimalTime);
  const name = longName || ((text('path') ?? header.name) as ByteString);
  return {
    ...header,
    pax,
    name,
    link: longLink || ((text('linkpath') ?? header.link) as ByteString),
    size: read('size', decimal) ?? header.size,
    uid: read('uid', decimal) ?? header.uid,
    gid: read('gid', decimal) ?? header.gid,
    mtime: read('mtime', decimalTime) ?? { seconds: header.mtime, nanos: 0 },
    type: header.type !== '\0' ? header.type : name.endsWith('/') ? '5' : '0',
  };
}

/** Whether `size` bytes follow the header: links, devices and folders have none whatever they say. */
export function hasData({ type }: MergedHeader): boolean {
  return type < '1' || type > '6';
}

/** Throws LAYER_CORRUPT, LAYER_PATH_INVALID, LIMIT_EXCEEDED. `file` is what it is where it is a regular file. */
export function entryOf(header: MergedHeader, file: FileKind, limits: Limits, warnings: LayerWarnings): Entry {
  const path = checkedPath(header.name, limits);
  const kind = kindOf(header, file, limits);
  const attributes = {
    permissions: Number(header.mode & 0o7777n),
    uid: bounded(header.uid, MAX_ID, `${shown(header.name)}: owner`),
    gid: bounded(header.gid, MAX_ID, `${shown(header.name)}: owner`),
    mtime: header.mtime,
  };
  checkXattrs(header.pax, kind, header.name, limits, warnings);
  return { path, kind, attributes };
}

function kindOf(header: MergedHeader, file: FileKind, limits: Limits): EntryKind {
  switch (header.type) {
    case '0':
    case '7':
    case 'S':
      return file;
    case '1':
      return { type: 'hardlink', target: checkedPath(header.link, limits) };
    case '2':
      return { type: 'symlink', target: checkedTarget(header.link, header.name, limits) };
    case '3':
    case '4': {
      const what = `${shown(header.name)}: device number`;
      const [major, minor] = [bounded(header.major, MAX_MAJOR, what), bounded(header.minor, MAX_MINOR, what)];
      return { type: header.type === '3' ? 'character' : 'block', major, minor };
    }
    case '5':
      return { type: 'directory' };
    case '6':
      return { type: 'fifo' };
    default:
      throw corrupt(`${shown(header.name)}: entry type ${JSON.stringify(header.type)} is none of a layer`);
  }
}

function bounded(value: bigint, max: bigint, what: string): number {
  if (value < 0n || value > max) throw corrupt(`${what} ${value}`);
  return Number(value);
}
