import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { WorkerError } from '../errors/index.ts';

export type NativeTool = 'clipyard-index' | 'clipyard-mountd' | 'clipyard-compare' | 'clipyard-hash';

/** Where native tools are looked for, in order. */
export interface NativeToolPaths {
  readonly directories: readonly string[];
}

/** The folders of a checkout and of an installed package, then the PATH. */
export function nativeToolPaths(env: Readonly<Record<string, string | undefined>>, root: string): NativeToolPaths {
  const configured = env['CLIPYARD_NATIVE_DIR'];
  const path = (env['PATH'] ?? '').split(delimiter).filter((entry) => entry !== '');
  return {
    directories: [
      ...(configured === undefined ? [] : [configured]),
      join(root, '.clipyard', 'bin'),
      join(root, 'bin'),
      ...path,
    ],
  };
}

/** The tool's path. Throws NATIVE_TOOL_MISSING. */
export function findNativeTool(tool: NativeTool, { directories }: NativeToolPaths): string {
  for (const directory of directories) {
    const candidate = join(directory, tool);
    if (existsSync(candidate)) return candidate;
  }
  throw new WorkerError('NATIVE_TOOL_MISSING', `${tool} is not built: run scripts/setup.sh`, { tool });
}
