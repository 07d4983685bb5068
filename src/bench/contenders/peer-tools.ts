import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeToolPaths } from '../../native/index.ts';

/** Programs that are no part of Clipyard. */
export type PeerTool = 'clip-reader' | 'buildkitd';

/** Where the program is, or what to say when it is nowhere. */
export function findPeer(
  tool: PeerTool,
  { directories }: NativeToolPaths,
): { readonly path: string } | { readonly path: undefined; readonly missing: string } {
  const path = directories.map((directory) => join(directory, tool)).find((candidate) => existsSync(candidate));
  return path === undefined
    ? { path: undefined, missing: `${tool} is not built: run scripts/setup.sh in a checkout` }
    : { path };
}
