import { existsSync } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { systemCodeOf, WorkerError } from '../../errors/index.ts';
import type { BuildRequest } from '../build-request.ts';

/** Far above any Dockerfile that was written by a person or a program. */
const MAX_DOCKERFILE_BYTES = 8 * 1024 * 1024;
const DOCKERFILE_NAMES = ['Dockerfile', 'dockerfile'];

/** The Dockerfile, and the ignore file that goes by its name. Throws DOCKERFILE_NOT_FOUND, LIMIT_EXCEEDED. */
export async function dockerfileBytes(
  { dockerfile }: Pick<BuildRequest, 'dockerfile'>,
  contextDir: string,
): Promise<{ readonly name: string; readonly bytes: Uint8Array; readonly ignore: Buffer | undefined }> {
  if (dockerfile !== undefined && 'bytes' in dockerfile)
    return { name: 'Dockerfile', bytes: dockerfile.bytes, ignore: undefined };
  const candidates =
    dockerfile === undefined ? DOCKERFILE_NAMES.map((name) => join(contextDir, name)) : [dockerfile.file];
  for (const path of candidates) {
    const bytes = await readSmallFile(path);
    if (bytes === undefined) continue;
    return { name: basename(path), bytes, ignore: await readSmallFile(`${path}.dockerignore`) };
  }
  const [path = ''] = candidates;
  const why = existsSync(path) ? 'is no file' : 'does not exist';
  throw new WorkerError('DOCKERFILE_NOT_FOUND', `${path} ${why}`, { path });
}

/** The real path of a folder. Throws CONTEXT_NOT_FOUND. */
export async function directoryAt(path: string): Promise<string> {
  const resolved = await realpath(path).catch((cause: unknown) => {
    throw contextNotFound(path, systemCodeOf(cause) ?? 'it cannot be read', cause);
  });
  if (!(await stat(resolved)).isDirectory()) throw contextNotFound(path, 'it is no folder');
  return resolved;
}

/** Undefined when there is no such file. Throws LIMIT_EXCEEDED, DOCKERFILE_NOT_FOUND when it cannot be read. */
async function readSmallFile(path: string): Promise<Buffer | undefined> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) return undefined;
    if (stats.size > MAX_DOCKERFILE_BYTES) {
      throw new WorkerError(
        'LIMIT_EXCEEDED',
        `${path} has ${stats.size} bytes, at most ${MAX_DOCKERFILE_BYTES} are read`,
      );
    }
    return await readFile(path);
  } catch (thrown) {
    const missing: readonly (string | undefined)[] = ['ENOENT', 'ENOTDIR'];
    if (missing.includes(systemCodeOf(thrown))) return undefined;
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError('DOCKERFILE_NOT_FOUND', `${path} cannot be read`, { path }, { cause: thrown });
  }
}

function contextNotFound(path: string, why: string, cause?: unknown): WorkerError {
  return new WorkerError('CONTEXT_NOT_FOUND', `the build context ${path} is not there: ${why}`, { path }, { cause });
}
