import type { Cancelable } from '../../errors/index.ts';
import type { ListedObject, ObjectStore } from '../../objects/index.ts';
import type { BuildQueue } from '../../queue/index.ts';
import { CONTEXTS, type UploadAge } from './context-store.ts';

/** As `contextKey` makes them: tars that somebody else put there stay. */
const UPLOAD = new RegExp(`^${CONTEXTS}[^/]+/(?<hex>[0-9a-f]{64})\\.tar$`);
const DIGEST = /sha256:([0-9a-f]{64})/g;

/**
 * Removes uploaded contexts that are old and that no build waits for or runs with. Says how many went. Not at the end of their
 * build: who uploaded the same a moment ago and is about to submit would find it gone.
 */
export async function sweepUploads({
  keepUploadsMs,
  now,
  queue,
  signal,
  store,
}: Cancelable &
  UploadAge & { readonly queue: Pick<BuildQueue, 'openSpecs'>; readonly store: ObjectStore }): Promise<number> {
  const isOld = ({ modifiedMs }: ListedObject) => now() - modifiedMs > keepUploadsMs;
  const old: ListedObject[] = [];
  for await (const object of store.list(CONTEXTS, { signal })) if (isOld(object)) old.push(object);
  if (old.length === 0) return 0;
  // After the list: who submits with one of these from now on is told that it is gone.
  const wanted = new Set<string>();
  for await (const spec of queue.openSpecs({ signal }))
    for (const [, hex = ''] of JSON.stringify(spec).matchAll(DIGEST)) wanted.add(hex);
  let removed = 0;
  for (const { key } of old) {
    const hex = UPLOAD.exec(key)?.groups?.['hex'];
    if (hex === undefined || wanted.has(hex)) continue;
    // It may have been uploaded again since.
    for await (const object of store.list(key, { signal })) {
      if (object.key !== key || !isOld(object)) continue;
      await store.delete(key, { signal });
      removed += 1;
    }
  }
  return removed;
}
