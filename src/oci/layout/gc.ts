import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hexOf } from '../../digest/index.ts';
import { type Cancelable, systemCodeOf, WorkerError } from '../../errors/index.ts';
import { syncDirectory } from '../../files/index.ts';
import { type BlobReader, walkReachable } from './reachable.ts';

export interface LayoutGarbage {
  /** Paths that were removed, or would be. */
  readonly removed: readonly string[];
  readonly bytes: number;
}

export interface CollectOptions extends Cancelable {
  readonly blobs: string;
  readonly ingest: string;
  readonly dryRun: boolean;
}

/** The caller holds the lock, so that every unfinished file is a dead writer's. Throws LAYOUT_INVALID. */
export async function collectGarbage(
  layout: BlobReader,
  { blobs, ingest, dryRun, signal }: CollectOptions,
): Promise<LayoutGarbage> {
  const kept = new Set<string>();
  for await (const { descriptor, broken } of walkReachable(layout, { signal })) {
    if (broken !== undefined) {
      throw new WorkerError(
        'LAYOUT_INVALID',
        `nothing is removed: what ${descriptor.digest} names is not known: ${broken.message}`,
        {},
        { cause: broken },
      );
    }
    kept.add(hexOf(descriptor.digest));
  }
  const removed: string[] = [];
  let bytes = 0;
  const candidates = [
    ...(await filesOf(ingest)),
    ...(await filesOf(blobs)).filter((path) => !kept.has(path.slice(blobs.length + 1))),
  ];
  for (const path of candidates) {
    signal.throwIfAborted();
    const { size } = await stat(path);
    if (!dryRun) await rm(path, { force: true, recursive: true });
    removed.push(path);
    bytes += size;
  }
  if (!dryRun && removed.length > 0) await syncDirectory(blobs);
  return { removed, bytes };
}

async function filesOf(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).map((name) => join(directory, name));
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}
