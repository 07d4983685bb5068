import type { ByteString } from '../../archive/index.ts';
import { displayOf } from '../../archive/index.ts';
import { limitExceeded, pathInvalid } from '../failure.ts';
import type { Limits } from '../limits.ts';

/** Longest name of one folder entry that Linux takes. */
export const MAX_NAME_BYTES = 255;

/** A path as engines clean it: relative to the root, which `..` does not leave; empty for the root. */
export function cleanPath(path: ByteString): ByteString {
  const kept: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') kept.pop();
    else if (name !== '' && name !== '.') kept.push(name);
  }
  return kept.join('/') as ByteString;
}

/** Throws LAYER_PATH_INVALID, LIMIT_EXCEEDED. */
export function checkedPath(raw: ByteString, { maxPathBytes }: Limits): ByteString {
  const path = cleanPath(raw);
  if (path.includes('\0')) throw pathInvalid(`${shown(raw)}: the name holds a NUL`);
  if (path.length > maxPathBytes) throw limitExceeded(`the ${path.length} bytes of path ${shown(raw)}`, maxPathBytes);
  if (path.split('/').some((name) => name.length > MAX_NAME_BYTES))
    throw pathInvalid(`${shown(raw)}: a name of more than ${MAX_NAME_BYTES} bytes`);
  return path;
}

/** The target of a symbolic link stays as it is. Throws LAYER_PATH_INVALID, LIMIT_EXCEEDED. */
export function checkedTarget(target: ByteString, name: ByteString, { maxPathBytes }: Limits): ByteString {
  if (target === '' || target.includes('\0'))
    throw pathInvalid(`${shown(name)}: the link's target is empty or holds a NUL`);
  if (target.length > maxPathBytes)
    throw limitExceeded(`the ${target.length} bytes of ${shown(name)}'s link target`, maxPathBytes);
  return target;
}

/** A name for a message, short enough for one. */
export function shown(name: ByteString): string {
  return displayOf(name.slice(0, 200) as ByteString);
}
