import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { type ObjectStore, requireKey } from '../objects/index.ts';

/** Folders of the store whose names mean something; a second name stays out of them. */
const RESERVED = ['archives', 'builds', 'contexts', 'images', 'logs', 'manifests', 'packs', 'pack-indexes', 'profiles'];

/** A key for an archive beside its digest's, as a person chooses it. Throws USAGE. */
export function parseSecondName(text: string): string {
  const [folder = ''] = text.split('/');
  try {
    requireKey(text);
  } catch (cause) {
    const why = cause instanceof WorkerError ? cause.message : '';
    throw new WorkerError('USAGE', `--also-as ${text.slice(0, 200)}: ${why}`, {}, { cause });
  }
  if (RESERVED.includes(folder))
    throw new WorkerError('USAGE', `--also-as ${text}: the folder ${folder} of the store has its own names`);
  return text;
}

/**
 * Puts an archive under its second name as well; what stood there is replaced. Throws STORE_CONFLICT where the name would be a
 * folder of another object, or another object is a folder of it: a directory cannot hold both, so no store does.
 */
export async function putSecondName(
  store: ObjectStore,
  name: string,
  { path, sha256, contentType }: { readonly path: string; readonly sha256: Digest; readonly contentType: string },
  { signal }: Cancelable,
): Promise<void> {
  await requireFree(store, name, { signal });
  await store.putFile(name, path, { sha256, contentType, signal });
}

async function requireFree(store: ObjectStore, name: string, { signal }: Cancelable): Promise<void> {
  const conflict = (other: string) =>
    new WorkerError('STORE_CONFLICT', `${store.urlOf(name)} cannot be: there is ${store.urlOf(other)}`, { key: name });
  const parts = name.split('/');
  for (let length = 1; length < parts.length; length += 1) {
    const folder = parts.slice(0, length).join('/');
    if ((await store.head(folder, { signal })) !== undefined) throw conflict(folder);
  }
  for await (const { key } of store.list(`${name}/`, { signal })) throw conflict(key);
}
