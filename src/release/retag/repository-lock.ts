import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Cancelable } from '../../errors/index.ts';
import { lockFile, makeDirectory } from '../../files/index.ts';
import type { Repository } from '../../registry/index.ts';

/** Who writes or deletes the tags of a repository: one of our own at a time. Other clients know nothing of it. */
export interface RepositoryLock {
  /** Throws REPOSITORY_LOCKED when another one has it for too long. */
  hold(repository: Repository, options: Cancelable): Promise<HeldLock>;
}

export interface HeldLock extends AsyncDisposable {
  /** Ends with the caller's, and when the lock is lost: nothing is written after it. */
  readonly signal: AbortSignal;
}

/** For callers that hold a lock already, or that are alone. */
export const NO_LOCK: RepositoryLock = {
  hold: (_, { signal }) => Promise.resolve({ signal, [Symbol.asyncDispose]: () => Promise.resolve() }),
};

const WAIT_MS = 60_000;

/** Locks of this machine, `locks/` in the state directory; the kernel takes them back from a process that dies. */
export function createRepositoryLock(
  stateDirectory: string,
  { waitMs = WAIT_MS }: { readonly waitMs?: number } = {},
): RepositoryLock {
  const directory = join(stateDirectory, 'locks');
  return {
    async hold({ registry, repository }, { signal }) {
      await makeDirectory(directory);
      // Names of repositories are longer than names of files may be.
      const name = createHash('sha256').update(`${registry}/${repository}`).digest('hex').slice(0, 32);
      const path = join(directory, `repository-${name}`);
      const held = await lockFile(path, { signal, waitMs, code: 'REPOSITORY_LOCKED' });
      return { signal, [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() };
    },
  };
}
