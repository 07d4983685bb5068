import { corrupt } from '../failure.ts';
import { decimal } from './numbers.ts';

/** The records of a PAX header (POSIX.1-2001, "pax Extended Header"), one character a byte; a later record wins. */
export type PaxRecords = ReadonlyMap<string, string>;

/** The key under which the pairs of sparse format 0.0 are kept, as format 0.1 writes them. */
export const SPARSE_MAP = 'GNU.sparse.map';
const NAMES: ReadonlySet<string> = new Set(['path', 'linkpath', 'uname', 'gname']);

/** Throws LAYER_CORRUPT. */
export function parsePax(body: Buffer): PaxRecords {
  const records = new Map<string, string>();
  const pairs: string[] = [];
  const text = body.toString('latin1');
  for (let at = 0; at < text.length; ) {
    const { key, value, end } = recordAt(text, at);
    at = end;
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      const wanted = pairs.length % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes';
      if (key !== wanted || value.includes(',')) throw corrupt("the sparse map's PAX records are out of order");
      pairs.push(value);
      continue;
    }
    if (NAMES.has(key) && value.includes('\0')) throw corrupt('a PAX name holds a NUL');
    records.set(key, value);
  }
  if (pairs.length > 0) records.set(SPARSE_MAP, pairs.join(','));
  return records;
}

/** `length key=value\n`, where the length counts the whole record. */
function recordAt(text: string, start: number): { readonly key: string; readonly value: string; readonly end: number } {
  const space = text.indexOf(' ', start);
  const length = space === -1 ? undefined : decimal(text.slice(start, space));
  if (length === undefined || length < 5n || length > BigInt(text.length - start)) throw malformed();
  const end = start + Number(length);
  const equals = text.indexOf('=', space);
  // the last byte is the newline, so a key and its sign must come before it
  if (end <= space + 1 || text[end - 1] !== '\n' || equals === -1 || equals >= end - 1) throw malformed();
  const key = text.slice(space + 1, equals);
  if (key === '' || key.includes('\0')) throw malformed();
  return { key, value: text.slice(equals + 1, end - 1), end };
}

function malformed(): Error {
  return corrupt('a PAX record is malformed');
}
