import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { lockFile, makeDirectory, namesIn } from '../../files/index.ts';
import { reapBuilds } from '../../jobs/index.ts';
import type { RegistryClient } from '../../registry/index.ts';

const PREFIX = 'worker-';
const LOCK = '.lock';

export interface Scratch extends AsyncDisposable {
  /** Everything in it is this process's alone, and gone after it. */
  readonly directory: string;
  /** Folders of dead workers and builds that were removed. */
  readonly reaped: number;
}

/**
 * A folder for a worker's temporary files, removed when it is disposed. What dead workers left beside it goes first, also at the
 * registry: a lock in each folder ends with its process, however that died.
 */
export async function openScratch(
  stateDir: string,
  workerId: string,
  { client, signal }: Cancelable & { readonly client: Pick<RegistryClient, 'dropUpload'> },
): Promise<Scratch> {
  const parent = join(stateDir, 'tmp');
  let reaped = await reapBuilds(stateDir, { client, signal });
  for (const name of await namesIn(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    if (await removeDead(join(parent, name), { signal })) reaped += 1;
  }
  const directory = join(parent, `${PREFIX}${workerId}`);
  await makeDirectory(directory);
  const lock = await lockFile(join(directory, LOCK), { signal, waitMs: 1000, code: 'LAYOUT_LOCKED' });
  return {
    directory,
    reaped,
    [Symbol.asyncDispose]: async () => {
      await rm(directory, { recursive: true, force: true });
      await lock[Symbol.asyncDispose]();
    },
  };
}

async function removeDead(directory: string, { signal }: Cancelable): Promise<boolean> {
  try {
    await using _lock = await lockFile(join(directory, LOCK), { signal, waitMs: 0, code: 'LAYOUT_LOCKED' });
    await rm(directory, { recursive: true, force: true });
    return true;
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'LAYOUT_LOCKED') return false;
    throw thrown;
  }
}
