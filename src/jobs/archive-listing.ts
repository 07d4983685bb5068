import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ClipNode,
  fileSource,
  type LayerRecord,
  openArchive,
  parseImageId,
  parseWorkspaceId,
  type RangeSource,
} from '../archive/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { archiveFor } from './archive-source.ts';
import { objectSource } from './object-source.ts';
import { readPointer, storeKeys } from './publish.ts';

/** What an archive says of its files: which bytes of which layer each of them has. */
export interface ArchiveListing {
  readonly layers: readonly LayerRecord[];
  readonly nodes: readonly ClipNode[];
}

export interface ArchiveListingContext extends Cancelable {
  /** Opens an object store by URL; the default store for `undefined`. */
  readonly openStore: (url?: string) => ObjectStore;
  readonly platform: string;
}

/**
 * Reads the list of files that a mount does without: from an archive file, `s3://bucket/key` or WORKSPACE/IMAGE of the store, by
 * ranges. Throws PATH_NOT_FOUND, STORE_OBJECT_NOT_FOUND, ARCHIVE_NOT_LAZY, …
 */
export async function readArchiveListing(name: string, context: ArchiveListingContext): Promise<ArchiveListing> {
  const path = name.startsWith('file://') ? fileURLToPath(name) : resolve(name);
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  if (isFile) {
    await using source = await fileSource(path);
    return await listingOf(source, context);
  }
  const slash = name.startsWith('s3://') ? name.indexOf('/', 's3://'.length) : -1;
  if (slash !== -1) return await fromStore(context.openStore(name.slice(0, slash)), name.slice(slash + 1), context);
  const [workspace = '', image = '', ...rest] = name.split('/');
  if (image === '' || rest.length > 0 || name.startsWith('.'))
    throw new WorkerError('PATH_NOT_FOUND', `${name}: no such archive (a file, s3://bucket/key, or WORKSPACE/IMAGE)`);
  const pointerKey = storeKeys.pointer(parseWorkspaceId(workspace), parseImageId(image));
  const store = context.openStore();
  const read = await readPointer(store, pointerKey, context);
  if (read === undefined) {
    await store[Symbol.asyncDispose]();
    throw new WorkerError('STORE_OBJECT_NOT_FOUND', `${name} was never published`, { key: pointerKey });
  }
  const { digest } = archiveFor(read.pointer, context.platform, name);
  return await fromStore(store, storeKeys.archive(digest), context);
}

async function fromStore(opened: ObjectStore, key: string, context: Cancelable): Promise<ArchiveListing> {
  await using store = opened;
  const head = await store.head(key, context);
  if (head === undefined) throw new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${store.urlOf(key)}`, { key });
  return await listingOf(objectSource(store, key, head.sizeBytes), context);
}

async function listingOf(source: RangeSource, context: Cancelable): Promise<ArchiveListing> {
  const archive = await openArchive(source, context);
  return { layers: await archive.layers(context), nodes: await archive.nodes(context) };
}
