import { type Cancelable, messageOf, WorkerError } from '../errors/index.ts';
import type { ObjectStore } from './object-store.ts';
import { readObject } from './read-object.ts';

interface ReadJsonOptions<Content> extends Cancelable {
  readonly maxBytes: number;
  /** What the object should be, for the message: `pointer object`. */
  readonly what: string;
  /** Throws when the value is something else. */
  readonly parse: (value: unknown) => Content;
}

/**
 * A small JSON object, with the etag to replace it by; undefined where there is none. Throws STORE_PROTOCOL when it is not what
 * it should be, LIMIT_EXCEEDED.
 */
export async function readJson<Content>(
  store: ObjectStore,
  key: string,
  { maxBytes, parse, signal, what }: ReadJsonOptions<Content>,
): Promise<{ readonly content: Content; readonly etag: string } | undefined> {
  const found = await readObject(store, key, { signal, maxBytes }).catch((thrown: unknown) => {
    if (thrown instanceof WorkerError && thrown.code === 'STORE_OBJECT_NOT_FOUND') return undefined;
    throw thrown;
  });
  if (found === undefined) return undefined;
  try {
    return { etag: found.etag, content: parse(JSON.parse(Buffer.from(found.bytes).toString('utf8'))) };
  } catch (cause) {
    throw new WorkerError('STORE_PROTOCOL', `${key} is no ${what}: ${messageOf(cause)}`, { key }, { cause });
  }
}
