import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fileSource, type OpenRangeSource, parseImageId, parseWorkspaceId } from '../archive/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../errors/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { parseReference, type RegistryClient } from '../registry/index.ts';
import { archiveFor, archiveOfManifest, imageOf } from './archive-source.ts';
import { objectSource } from './object-source.ts';
import { readPointer, storeKeys } from './publish.ts';

export interface NamedArchiveContext extends Cancelable {
  /** Opens an object store by URL; the default store for `undefined`. */
  readonly openStore: (url?: string) => ObjectStore;
  /** Opened for `docker://` alone. */
  readonly openClient: () => Promise<RegistryClient>;
  readonly platform: string;
}

/**
 * An archive as it is, to be read by ranges: a file, `s3://bucket/key`, `docker://REF` (through the store's manifest objects) or
 * WORKSPACE/IMAGE of the store. Throws PATH_NOT_FOUND, STORE_OBJECT_NOT_FOUND, REGISTRY_NOT_FOUND, USAGE for a folder.
 */
export async function openNamedArchive(name: string, context: NamedArchiveContext): Promise<OpenRangeSource> {
  if (name.startsWith('docker://')) return await ofRegistryImage(name.slice('docker://'.length), context);
  const slash = name.startsWith('s3://') ? name.indexOf('/', 's3://'.length) : -1;
  if (slash !== -1) return await fromStore(context.openStore(name.slice(0, slash)), name.slice(slash + 1), context);
  const path = name.startsWith('file://') ? fileURLToPath(name) : resolve(name);
  if (await isThere(path)) return await fileSource(path);
  const [workspace = '', image = '', ...rest] = name.split('/');
  if (image === '' || rest.length > 0 || name.startsWith('.') || isAbsolute(name))
    throw new WorkerError(
      'PATH_NOT_FOUND',
      `${name}: no such archive (a file, s3://bucket/key, docker://reference, or WORKSPACE/IMAGE of the store)`,
    );
  return await ofPointer(workspace, image, context);
}

/** Throws PATH_DENIED where that cannot be known. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(systemCodeOf(thrown) ?? '')) return false;
    throw toWorkerError(thrown, `look for ${path}`);
  }
}

async function ofPointer(workspace: string, image: string, context: NamedArchiveContext): Promise<OpenRangeSource> {
  const key = storeKeys.pointer(parseWorkspaceId(workspace), parseImageId(image));
  const name = `${workspace}/${image}`;
  return await withStore(
    context.openStore(),
    async (store) => {
      const read = await readPointer(store, key, context);
      if (read === undefined)
        throw new WorkerError(
          'STORE_OBJECT_NOT_FOUND',
          `${name} was never published: there is no ${store.urlOf(key)}`,
          { key },
        );
      return storeKeys.archive(archiveFor(read.pointer, context.platform, name).digest);
    },
    context,
  );
}

async function ofRegistryImage(text: string, context: NamedArchiveContext): Promise<OpenRangeSource> {
  const reference = parseReference(text);
  await using client = await context.openClient();
  const manifest = await imageOf(reference, { ...context, client });
  const find = async (store: ObjectStore) =>
    storeKeys.archive((await archiveOfManifest(store, manifest, reference, context)).digest);
  return await withStore(context.openStore(), find, context);
}

const fromStore = (store: ObjectStore, key: string, context: Cancelable) =>
  withStore(store, () => Promise.resolve(key), context);

/** The archive under the key that is found in the store; it closes the store when it is closed. */
async function withStore(
  store: ObjectStore,
  find: (store: ObjectStore) => Promise<string>,
  context: Cancelable,
): Promise<OpenRangeSource> {
  try {
    const key = await find(store);
    const head = await store.head(key, context);
    if (head === undefined) throw new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${store.urlOf(key)}`, { key });
    const source = objectSource(store, key, head.sizeBytes);
    return { ...source, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
  } catch (thrown) {
    await store[Symbol.asyncDispose]();
    throw thrown;
  }
}
