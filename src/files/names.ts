import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf, toWorkerError } from '../errors/index.ts';

/** What a folder holds; one that is not there holds nothing. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return [];
    throw toWorkerError(thrown, `list ${directory}`);
  }
}

export interface NamedFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Since it was written last. */
  readonly ageMs: number;
}

/** The same with what stat(2) says; without what another process removed meanwhile. */
export async function filesIn(directory: string): Promise<readonly NamedFile[]> {
  const files: NamedFile[] = [];
  for (const name of await namesIn(directory)) {
    const stats = await stat(join(directory, name)).catch(() => undefined);
    if (stats !== undefined) files.push({ name, sizeBytes: stats.size, ageMs: Date.now() - stats.mtimeMs });
  }
  return files;
}

interface Used {
  readonly name: string;
  readonly lastUsedMs: number;
}

/** The order in which caches are emptied: the longest unused first. */
export function longestUnusedFirst<T extends Used>(all: readonly T[]): readonly T[] {
  return all.toSorted((a, b) => a.lastUsedMs - b.lastUsedMs || (a.name < b.name ? -1 : 1));
}
