/** The shortest equal path by text alone (Go `path.Clean`): no `.`, no inner `..`, no doubled or trailing `/`; empty is `.`. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/');
  const kept: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (!rooted) kept.push('..');
  }
  const joined = kept.join('/');
  if (rooted) return `/${joined}`;
  return joined === '' ? '.' : joined;
}

/** A path as seen from the root of a tree: clean, relative, never above the root; the root is the empty path. */
export function pathInRoot(path: string): string {
  return cleanPath(`/${path}`).slice(1);
}
