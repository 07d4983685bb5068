import type { ByteString } from '../../archive/index.ts';
import { displayOf } from '../../archive/index.ts';
import type { Limits } from '../../config/index.ts';
import { beyond, pathInvalid } from '../failure.ts';

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
export function checkedPath(raw: ByteString, limits: Limits): ByteString {
  const path = cleanPath(raw);
  if (path.includes('\0')) throw pathInvalid(`${shown(raw)}: the name holds a NUL`);
  if (path.length > limits.maxPathBytes)
    throw beyond(`the ${path.length} bytes of path ${shown(raw)}`, limits, 'maxPathBytes');
  const names = path.split('/');
  const longest = names.reduce((most, { length }) => Math.max(most, length), 0);
  if (longest > MAX_NAME_BYTES) throw pathInvalid(`${shown(raw)}: a name of more than ${MAX_NAME_BYTES} bytes`);
  if (longest > limits.maxNameBytes) throw beyond(`${shown(raw)}: a name of ${longest} bytes`, limits, 'maxNameBytes');
  if (names.length > limits.maxDepth)
    throw beyond(`${shown(raw)}: a path of ${names.length} names`, limits, 'maxDepth');
  return path;
}

/** The target of a symbolic link stays as it is. Throws LAYER_PATH_INVALID, LIMIT_EXCEEDED. */
export function checkedTarget(target: ByteString, name: ByteString, limits: Limits): ByteString {
  if (target === '' || target.includes('\0'))
    throw pathInvalid(`${shown(name)}: the link's target is empty or holds a NUL`);
  if (target.length > limits.maxPathBytes)
    throw beyond(`the ${target.length} bytes of ${shown(name)}'s link target`, limits, 'maxPathBytes');
  return target;
}

/** A name for a message, short enough for one. */
export function shown(name: ByteString): string {
  return displayOf(name.slice(0, 200) as ByteString);
}
