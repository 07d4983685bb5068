import type { BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf, toWorkerError } from '../../errors/index.ts';
import type { BuildRequest } from '../build-request.ts';
import { bytesOfPath } from './byte-path.ts';
import { ContextSize, DEFAULT_CONTEXT_LIMITS } from './context-limits.ts';
import { parseDockerignore } from './dockerignore.ts';
import { entryType, hasContent } from './entry.ts';
import { directoryAt, dockerfileBytes } from './local-inputs.ts';
import { LocalTree } from './local-tree.ts';
import { PatternMatcher } from './pattern-matcher.ts';

/** One entry of a context as a build would get it. */
export interface ContextFile {
  /** Bytes of the path below the context, `/`-separated. */
  readonly path: Buffer;
  readonly type: ReturnType<typeof entryType>;
  /** Go's `os.FileMode`. */
  readonly mode: number;
  /** Target of a symbolic link, or the entry whose hard link this is; both as bytes. */
  readonly linkName: Buffer | undefined;
  readonly device: { readonly major: number; readonly minor: number } | undefined;
  /** Of lstat(2), a moment ago. */
  readonly stats: BigIntStats;
  /** Where it lies on this machine. */
  readonly hostPath: Buffer;
}

export interface OpenedContext {
  readonly dockerfile: Uint8Array;
  /**
   * What its ignore rules leave, in byte order of names. Reads directories as it goes. Throws CONTEXT_CHANGED, IO_FAILED,
   * LIMIT_EXCEEDED.
   */
  entries(): Generator<ContextFile, void>;
}

/**
 * Reads a context as a build sends it: the same Dockerfile, and the ignore file that goes by its name or the context's own.
 * Throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND, CONFIG_INVALID for a pattern.
 */
export async function openContext(
  request: Pick<BuildRequest, 'contextDir' | 'dockerfile' | 'limits'>,
): Promise<OpenedContext> {
  const root = await directoryAt(request.contextDir);
  const { bytes, ignore } = await dockerfileBytes(request, root);
  const patterns = parseDockerignore((ignore ?? (await ownIgnoreFile(root)) ?? Buffer.alloc(0)).toString());
  const exclude = patterns.length === 0 ? undefined : new PatternMatcher(patterns);
  const limits = { ...DEFAULT_CONTEXT_LIMITS, ...request.limits };
  return { dockerfile: bytes, entries: () => contextFiles(root, exclude, new ContextSize(request.contextDir, limits)) };
}

function* contextFiles(
  root: string,
  exclude: PatternMatcher | undefined,
  size: ContextSize,
): Generator<ContextFile, void> {
  const rootBytes = Buffer.from(`${root}/`);
  // A parent that was passed over is given later, before its first wanted child: its stats wait here.
  const seen = new Map<string, BigIntStats>();
  const tree = new LocalTree(root, { onStats: (path, stats) => seen.set(path, stats) });
  for (const entry of tree.entries({ include: undefined, exclude })) {
    size.add(hasContent(entry) ? entry.sizeBytes : 0);
    const stats = seen.get(entry.path);
    seen.delete(entry.path);
    if (stats === undefined) continue;
    const path = bytesOfPath(entry.path);
    yield {
      path,
      type: entryType(entry),
      mode: entry.mode,
      linkName: entry.linkName === undefined ? undefined : bytesOfPath(entry.linkName),
      device: entry.device,
      stats,
      hostPath: Buffer.concat([rootBytes, path]),
    };
  }
}

async function ownIgnoreFile(root: string): Promise<Buffer | undefined> {
  try {
    return await readFile(join(root, '.dockerignore'));
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    throw toWorkerError(thrown, 'read .dockerignore');
  }
}
