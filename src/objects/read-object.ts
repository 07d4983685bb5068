import { buffer } from 'node:stream/consumers';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { ObjectStore } from './object-store.ts';

/** A small object in memory, with the etag to replace it by. Throws LIMIT_EXCEEDED, STORE_OBJECT_NOT_FOUND. */
export async function readObject(
  store: ObjectStore,
  key: string,
  { signal, maxBytes }: Cancelable & { readonly maxBytes: number },
): Promise<{ readonly bytes: Uint8Array; readonly etag: string }> {
  const { body, etag, sizeBytes } = await store.get(key, { signal });
  if (sizeBytes > maxBytes) {
    body.destroy();
    throw new WorkerError('LIMIT_EXCEEDED', `${store.urlOf(key)}: ${sizeBytes} bytes, at most ${maxBytes} are read`, {
      key,
    });
  }
  return { bytes: await buffer(body), etag };
}
