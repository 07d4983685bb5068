import { readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { textOfPath } from './byte-path.ts';
import type { OpenFile } from './context-source.ts';
import { parseDockerignore } from './dockerignore.ts';
import { type ContextEntry, entryType } from './entry.ts';
import { LocalTree } from './local-tree.ts';
import { PatternMatcher } from './pattern-matcher.ts';
import { TAR_END, tarHeader, tarPadding } from './tar-header.ts';

const READ_BYTES = 256 * 1024;

/**
 * A folder as a tar stream, without what its ignore file excludes: `<Dockerfile>.dockerignore` or `.dockerignore`, as docker
 * does. Dockerfile and ignore file are sent even when they are excluded. `dockerfile` is a path in the folder. Throws
 * CONTEXT_NOT_FOUND, CONTEXT_CHANGED, IO_FAILED.
 */
export async function* contextTar(
  directory: string,
  { dockerfile = 'Dockerfile', signal }: Cancelable & { readonly dockerfile?: string },
): AsyncGenerator<Buffer> {
  const root = resolve(directory);
  const found = await stat(root).catch(() => undefined);
  if (found?.isDirectory() !== true) throw new WorkerError('CONTEXT_NOT_FOUND', `${directory} is no folder`);
  const ignore = await ignorePatterns(root, dockerfile);
  const tree = new LocalTree(root);
  const kept = [dockerfile, `${dockerfile}.dockerignore`, '.dockerignore'].map(
    (path) => `!${relative(root, join(root, path))}`,
  );
  const exclude = ignore.length === 0 ? undefined : new PatternMatcher([...ignore, ...kept]);
  for (const entry of tree.entries({ include: undefined, exclude })) {
    signal.throwIfAborted();
    yield tarHeader(entry);
    if (entryType(entry) === 'file' && entry.sizeBytes > 0) yield* contentOf(tree, entry, signal);
  }
  yield TAR_END;
}

async function ignorePatterns(root: string, dockerfile: string): Promise<readonly string[]> {
  for (const name of [`${dockerfile}.dockerignore`, '.dockerignore']) {
    try {
      return parseDockerignore(await readFile(join(root, name), 'utf8'));
    } catch (thrown) {
      if (systemCodeOf(thrown) !== 'ENOENT') throw toWorkerError(thrown, `read ${name}`);
    }
  }
  return [];
}

function* contentOf(tree: LocalTree, entry: ContextEntry, signal: AbortSignal): Generator<Buffer> {
  using file: OpenFile | undefined = tree.open(entry);
  if (file === undefined) throw changed(entry, 'vanished');
  for (let left = entry.sizeBytes; left > 0; ) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(Math.min(left, READ_BYTES));
    const count = file.read(buffer);
    if (count === 0) throw changed(entry, 'became shorter');
    yield buffer.subarray(0, count);
    left -= count;
  }
  if (!file.isUnchanged()) throw changed(entry, 'changed');
  yield tarPadding(entry.sizeBytes);
}

function changed({ path }: ContextEntry, how: string): WorkerError {
  return new WorkerError('CONTEXT_CHANGED', `${textOfPath(path)} ${how} while it was sent`, { path: textOfPath(path) });
}
