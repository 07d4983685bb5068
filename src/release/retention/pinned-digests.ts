import { stat } from 'node:fs/promises';
import { type Digest, digestOfHex } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { readPointer } from '../../jobs/index.ts';
import type { ObjectStore } from '../../objects/index.ts';

const MANIFEST_KEY = /^manifests\/sha256-([0-9a-f]{64})\.json$/;

/**
 * The manifests that runtimes mount by a store: those of its pointers and its `manifests/` objects, with the object that names each.
 * Throws what the store fails with, and STORE_PROTOCOL for an object that cannot be understood: nobody knows what it names.
 */
export async function pinnedDigests(
  stores: readonly ObjectStore[],
  { signal }: Cancelable,
): Promise<ReadonlyMap<Digest, string>> {
  const pinned = new Map<Digest, string>();
  for (const store of stores) {
    await requireThere(store, { signal });
    for await (const { key } of store.list('manifests/', { signal })) {
      const [, hex] = MANIFEST_KEY.exec(key) ?? [];
      if (hex === undefined)
        throw new WorkerError('STORE_PROTOCOL', `${store.urlOf(key)} is no object of a manifest`, { key });
      pinned.set(digestOfHex(hex), store.urlOf(key));
    }
    for await (const { key } of store.list('images/', { signal })) {
      const read = await readPointer(store, key, { signal });
      if (read === undefined) continue; // deleted since the list
      const { archives, indexDigest } = read.pointer;
      for (const digest of [indexDigest, ...Object.values(archives).map(({ manifestDigest }) => manifestDigest)])
        pinned.set(digest, store.urlOf(key));
    }
  }
  return pinned;
}

/** A folder that is not there would list as an empty store: a mistyped one must not pin nothing. */
async function requireThere(store: ObjectStore, { signal }: Cancelable): Promise<void> {
  const access = await store.access({ signal });
  if (access.kind !== 'directory') return; // a bucket that is not there fails when it is listed
  const stats = await stat(access.path).catch(() => undefined);
  if (stats?.isDirectory() !== true)
    throw new WorkerError('STORE_BUCKET_NOT_FOUND', `${store.url}: there is no such folder`, { path: access.path });
}
