import { readdir } from 'node:fs/promises';
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
