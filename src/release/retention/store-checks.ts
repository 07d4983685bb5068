import { stat } from 'node:fs/promises';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { Inventory } from '../inventory/index.ts';
import type { PinnedDigests } from './pinned-digests.ts';
import type { RetentionPlan } from './plan.ts';

/** A folder that is not there would list as an empty store: a mistyped one must not pin nothing. */
export async function requireThere(store: ObjectStore, { signal }: Cancelable): Promise<void> {
  const access = await store.access({ signal });
  if (access.kind !== 'directory') return; // a bucket that is not there fails when it is listed
  const stats = await stat(access.path).catch(() => undefined);
  if (stats?.isDirectory() !== true)
    throw new WorkerError('STORE_BUCKET_NOT_FOUND', `${store.url}: there is no such folder`, { path: access.path });
}

/**
 * A bucket or prefix that is mistyped reads as a store that pins nothing, or what another repository has. The right one shows itself by
 * naming a manifest that is in the repository, be it one that goes nowhere. Throws RETENTION_STORE_UNRELATED.
 */
export function requireRelated(
  pins: ReadonlyMap<ObjectStore, PinnedDigests>,
  { manifests, repository }: Inventory,
  { deletions }: RetentionPlan,
): void {
  for (const [{ url }, pinned] of pins) {
    if ([...pinned.keys()].some((digest) => manifests.has(digest))) continue;
    const what = pinned.size === 0 ? 'no manifest at all' : `${pinned.size} manifests and none of them`;
    throw new WorkerError(
      'RETENTION_STORE_UNRELATED',
      `${url} names ${what} of ${repository.registry}/${repository.repository}: it may be the wrong store, and nothing of the ${deletions.length} planned deletions was done; name the right one, or say that it is right (--store-is-empty, store_is_empty=true in a policy)`,
      { store: url, planned: deletions.length },
    );
  }
}
