import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { makeDirectory } from '../../files/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { ContextSpec } from '../build-spec.ts';
import { contextPrefix, readContext } from './context-store.ts';
import type { TreeSize } from './context-tree.ts';
import type { IntakeLimits } from './intake-limits.ts';
import { unpackContext } from './unpack-context.ts';

export interface OpenContextOptions extends Cancelable {
  readonly workspaceId: string;
  readonly store: ObjectStore;
  readonly limits: IntakeLimits;
}

const NOTHING: TreeSize = { entries: 0, bytes: 0 };

/** Puts a context that is a tar or a lone Dockerfile into a folder, which it makes. Throws UPLOAD_NOT_FOUND and what `unpackContext` throws. */
export async function openContext(
  source: Exclude<ContextSpec, { type: 'git' }>,
  directory: string,
  { limits, signal, store, workspaceId }: OpenContextOptions,
): Promise<TreeSize> {
  switch (source.type) {
    case 'inline':
      await makeDirectory(directory);
      await writeFile(join(directory, 'Dockerfile'), source.dockerfile, { signal });
      return NOTHING;
    case 'uploaded':
      return await unpackUploaded(source.digest, directory, { limits, signal, store, workspaceId });
    case 'object': {
      const { body, etag } = await store.get(requireObjectKey(workspaceId, source.key), { signal });
      if (source.etag !== undefined && etag !== source.etag) {
        body.destroy();
        throw new WorkerError('CONTEXT_CHANGED', `${source.key} is another object than the one that was submitted`, {
          key: source.key,
        });
      }
      return await unpackContext(body, directory, { limits, signal });
    }
  }
}

/** Throws UPLOAD_NOT_FOUND, and what `unpackContext` throws. */
export async function unpackUploaded(
  digest: string,
  directory: string,
  { limits, signal, store, workspaceId }: OpenContextOptions,
): Promise<TreeSize> {
  if (!isDigest(digest)) throw new WorkerError('SPEC_INVALID', `${digest.slice(0, 100)} is no digest of an upload`);
  const bytes = await readContext(workspaceId, digest, { signal, store });
  return await unpackContext(bytes, directory, { limits, signal });
}

/** Only what lies below the workspace's contexts is a context. Throws SOURCE_DENIED. */
export function requireObjectKey(workspaceId: string, key: string): string {
  if (!key.startsWith(contextPrefix(workspaceId)))
    throw new WorkerError('SOURCE_DENIED', `a context's key begins with ${contextPrefix(workspaceId)}`, {
      key: key.slice(0, 300),
    });
  return key;
}
