import { readFile, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, sep } from 'node:path';
import { systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';

/** What buildkit/ takes, too. */
const MAX_DOCKERFILE_BYTES = 8 * 1024 * 1024;
const NAMES = ['Dockerfile', 'dockerfile'];

export interface FoundDockerfile {
  readonly path: string;
  readonly text: string;
}

/**
 * The Dockerfile of an unpacked context. It and the ignore file beside it may be links, which must stay inside: whatever else
 * this machine has is none of the build's. Throws DOCKERFILE_NOT_FOUND, CONTEXT_PATH_OUTSIDE, LIMIT_EXCEEDED.
 */
export async function findDockerfile(contextDir: string, asked: string | undefined): Promise<FoundDockerfile> {
  if (asked !== undefined && (isAbsolute(asked) || asked.split('/').includes('..') || asked.includes('\0')))
    throw outside(asked);
  for (const name of asked === undefined ? NAMES : [asked]) {
    const path = join(contextDir, name);
    const real = await insideOf(contextDir, path, name);
    if (real === undefined || !(await stat(real)).isFile()) continue;
    await insideOf(contextDir, `${path}.dockerignore`, `${name}.dockerignore`);
    const { size } = await stat(real);
    if (size > MAX_DOCKERFILE_BYTES)
      throw new WorkerError('LIMIT_EXCEEDED', `${name} has ${size} bytes, at most ${MAX_DOCKERFILE_BYTES} are read`);
    return { path, text: await readFile(real, 'utf8') };
  }
  throw new WorkerError('DOCKERFILE_NOT_FOUND', `the context has no ${asked ?? 'Dockerfile'}`, {
    path: asked ?? 'Dockerfile',
  });
}

/** A folder of a context. Throws CONTEXT_NOT_FOUND, CONTEXT_PATH_OUTSIDE. */
export async function folderInside(root: string, folder: string | undefined): Promise<string> {
  if (folder === undefined || folder === '') return root;
  if (isAbsolute(folder) || folder.split('/').includes('..') || folder.includes('\0')) throw outside(folder);
  const real = await insideOf(root, join(root, folder), folder);
  if (real === undefined || !(await stat(real)).isDirectory())
    throw new WorkerError('CONTEXT_NOT_FOUND', `the source has no folder ${folder.slice(0, 300)}`, { path: folder });
  return real;
}

/** Where a path really leads; undefined when nothing is there. Throws CONTEXT_PATH_OUTSIDE. */
async function insideOf(root: string, path: string, name: string): Promise<string | undefined> {
  const [top, real] = await Promise.all([realpath(root), resolved(path, name)]);
  if (real === undefined) return undefined;
  if (real !== top && !real.startsWith(top + sep)) throw outside(name);
  return real;
}

async function resolved(path: string, name: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'].includes(systemCodeOf(thrown) ?? '')) return undefined;
    throw toWorkerError(thrown, `look at ${name} of the context`);
  }
}

function outside(name: string): WorkerError {
  return new WorkerError('CONTEXT_PATH_OUTSIDE', `${name.slice(0, 300)} leads out of the context`, {
    path: name.slice(0, 300),
  });
}
