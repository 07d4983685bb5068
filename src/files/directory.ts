import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** The mode of folders that are made, before the umask; absent: 0777. */
export interface DirectoryOptions {
  readonly mode?: number;
}

/**
 * Makes a folder and those above it that are missing; one that is there is left as it is. Fails with the system's error code: ENOENT
 * where a filesystem takes no new folders (/proc), EEXIST or ENOTDIR where a file is in the way.
 *
 * Node's own `recursive` tries for ever where a folder is there and refuses new ones with ENOENT, as those of /proc do.
 */
export async function makeDirectory(path: string, options: DirectoryOptions = {}): Promise<void> {
  if (await made(path, options)) return;
  const parent = dirname(resolve(path));
  if (parent !== resolve(path)) await makeDirectory(parent, options);
  // Every folder above is there now: what is said this time is the reason.
  await mkdir(path, options).catch(unlessThere(path));
}

/** False where a folder above is missing. */
async function made(path: string, options: DirectoryOptions): Promise<boolean> {
  try {
    await mkdir(path, options).catch(unlessThere(path));
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw thrown;
  }
}

/** Another process may make the same folder; and a read-only filesystem says EROFS of a folder that is there. */
function unlessThere(path: string): (thrown: unknown) => Promise<void> {
  return async (thrown) => {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() !== true) throw thrown;
  };
}
