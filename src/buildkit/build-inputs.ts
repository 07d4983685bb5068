import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import type { BuildRequest } from './build-request.ts';
import type { ContextSource } from './context/context-source.ts';
import { directoryAt, dockerfileBytes } from './context/local-inputs.ts';
import { LocalTree } from './context/local-tree.ts';
import { MemoryFiles } from './context/memory-files.ts';
import { mountOfContext } from './solve-request.ts';

/** What the daemon may read of this machine, by the name of the mount. */
export interface BuildInputs {
  readonly sources: ReadonlyMap<string, ContextSource>;
  /** The Dockerfile's name inside the mount `dockerfile`. */
  readonly dockerfileName: string;
  /** Names the context directory of this machine: with the same key the daemon only asks for what changed. */
  readonly sharedKey: string;
}

/** Finds the directories of a build. Throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND. */
export async function resolveInputs(request: BuildRequest): Promise<BuildInputs> {
  const contextDir = await directoryAt(request.contextDir);
  const sources = new Map<string, ContextSource>([['context', new LocalTree(contextDir)]]);
  for (const [name, source] of Object.entries(request.namedContexts ?? {})) {
    if ('dir' in source) sources.set(mountOfContext(name), new LocalTree(await directoryAt(source.dir)));
  }
  const { name, source } = await dockerfileOf(request, contextDir);
  sources.set('dockerfile', source);
  const sharedKey = createHash('sha256').update(`${hostname()}\0${contextDir}`).digest('hex');
  return { sources, dockerfileName: name, sharedKey };
}

/**
 * The Dockerfile and the ignore file that goes by its name, read once: it may lie anywhere, also behind a link, and the
 * daemon sees nothing else of its directory.
 */
async function dockerfileOf(
  request: Pick<BuildRequest, 'dockerfile'>,
  contextDir: string,
): Promise<{ name: string; source: ContextSource }> {
  const { bytes, ignore, name } = await dockerfileBytes(request, contextDir);
  const files: (readonly [string, Uint8Array])[] = [[name, bytes]];
  if (ignore !== undefined) files.push([`${name}.dockerignore`, ignore]);
  return { name, source: new MemoryFiles(new Map(files)) };
}
