import { type Digest, digestOfHex } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { readPointer } from '../../jobs/index.ts';
import type { ObjectStore } from '../../objects/index.ts';

const MANIFEST_KEY = /^manifests\/sha256-([0-9a-f]{64})\.json$/;

/** With the object that names each. */
export type PinnedDigests = ReadonlyMap<Digest, string>;

/**
 * The manifests that runtimes mount by a store: those of its pointers and its `manifests/` objects. Throws what the store fails with,
 * and STORE_PROTOCOL for an object that cannot be understood: nobody knows what it names.
 */
export async function pinnedDigests(store: ObjectStore, { signal }: Cancelable): Promise<PinnedDigests> {
  const pinned = new Map<Digest, string>();
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
  return pinned;
}
