import { type BytePath, childPath, pathOfText, textOfPath } from './byte-path.ts';
import { cleanPath, pathInRoot } from './clean-path.ts';
import { compileSegment, hasWildcard } from './glob.ts';

/** What following links needs of a tree. */
export interface LinkReader {
  /** The target of a symbolic link; undefined for anything else and for what is not there. */
  readLink(path: BytePath): BytePath | undefined;
  /** Names in a directory in byte order; empty when there is none. */
  readNames(path: BytePath): readonly BytePath[];
}

/**
 * The patterns a follow list stands for: each path, and what every symbolic link on the way leads to, as seen from the
 * root of the tree. Undefined when one of them is the root itself: then nothing is filtered. (fsutil, `FollowLinks`.)
 */
export function followPaths(reader: LinkReader, paths: readonly string[]): readonly string[] | undefined {
  const resolved = new Set<BytePath>();
  for (const path of paths) follow(reader, resolved, pathOfText(path));
  const texts = [...resolved].toSorted().map(textOfPath);
  if (texts.includes('')) return undefined;
  return withoutNested(texts);
}

function follow(reader: LinkReader, resolved: Set<BytePath>, path: BytePath): void {
  const segments = pathInRoot(path).split('/');
  let current: BytePath = '';
  for (const [at, segment] of segments.entries()) {
    current = childPath(current, segment);
    const targets = linkTargets(reader, current, true);
    const isLast = at === segments.length - 1;
    if (targets.length === 0 && !isLast) continue;
    if (resolved.has(current)) return; // a loop, or known already
    resolved.add(current);
    const rest = segments.slice(at + 1).join('/');
    for (const target of targets) follow(reader, resolved, cleanPath(`${target}/${rest}`));
    if (targets.length > 0) return;
  }
}

function linkTargets(reader: LinkReader, path: BytePath, allowWildcard: boolean): readonly BytePath[] {
  const slash = path.lastIndexOf('/');
  const directory = slash === -1 ? '' : path.slice(0, slash);
  const name = textOfPath(path.slice(slash + 1));
  if (allowWildcard && hasWildcard(name)) {
    const matches = compileSegment(name);
    return reader
      .readNames(directory)
      .filter((candidate) => matches(textOfPath(candidate)))
      .flatMap((candidate) => linkTargets(reader, childPath(directory, candidate), false));
  }
  const target = path === '' ? undefined : reader.readLink(path);
  if (target === undefined) return [];
  return [target.startsWith('/') ? cleanPath(target) : cleanPath(`/${directory}/${target}`)];
}

/** Sorted paths without those that lie below another. */
function withoutNested(sorted: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (const path of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !path.startsWith(`${last}/`)) kept.push(path);
  }
  return kept;
}
