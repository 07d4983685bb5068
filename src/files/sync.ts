import { open } from 'node:fs/promises';
import { systemCodeOf } from '../errors/index.ts';

/** Makes the names in a directory durable. File systems without directory sync (EINVAL) are left as they are. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (thrown) {
    if (systemCodeOf(thrown) !== 'EINVAL') throw thrown;
  } finally {
    await handle.close();
  }
}

/** Makes the bytes of a file durable. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
