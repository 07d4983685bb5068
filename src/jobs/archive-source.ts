import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import { fetchForMount, fileSource, parseImageId, parseWorkspaceId, readDocuments } from '../archive/index.ts';
import { type Digest, hexOf, verify } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { writeFileAtomically } from '../files/index.ts';
import { type ObjectStore, readJson } from '../objects/index.ts';
import {
  type ImageConfig,
  isIndexType,
  parseImageConfig,
  parseIndex,
  parsePlatform,
  selectPlatform,
} from '../oci/index.ts';
import { formatReference, manifestNameOf, parseReference, type Reference, type Repository } from '../registry/index.ts';
import { type Secret } from '../telemetry/index.ts';
import {
  completeInPlaceOf,
  dropDamaged,
  makeArchivesDirectory,
  replaceByComplete,
  takeCached,
} from './cached-archive.ts';
import { type CompleteOptions, completeArchive } from './complete-archive.ts';
import { v1LayerOf } from './complete-v1.ts';
import { objectSource } from './object-source.ts';
import { type Pointer, PointerSchema, readPointer, storeKeys } from './publish.ts';

/** An archive on this machine that a mount can use, and what it says about its image. */
export interface MountableArchive {
  /** A complete archive or a sparse file with the parts a mount needs. */
  readonly path: string;
  /** Where its blobs are. */
  readonly storage: Reference;
  readonly config: ImageConfig;
  /** Plain layers that are on this machine, by diffID. */
  readonly localLayers?: Readonly<Record<string, string>> | undefined;
  /** Where what the file lacks can be read; a secret. */
  readonly address?: Secret | undefined;
  /** Bytes that were fetched of the archive; 0 for a local one. */
  readonly fetchedBytes: number;
}

export interface ArchiveSourceContext extends Omit<CompleteOptions, 'blobsAt'> {
  /** Where the blobs are now, when not where the archive says. */
  readonly blobsAt?: Repository;
  /** Opens an object store by URL; the default store for `undefined`. */
  readonly openStore: (url?: string) => ObjectStore;
  readonly platform: string;
}

/**
 * Finds what a person names: a file, `file:///…`, `s3://bucket/key`, `WORKSPACE/IMAGE` in the store, or `docker://REF`
 * (through the store's manifest objects; REF's repository then replaces the stored one). Only footer, metadata and layer
 * tables of a remote archive are fetched, once: they are kept in the cache directory. An archive that lacks them gets them
 * from its layers (completeArchive). Throws PATH_NOT_FOUND, STORE_OBJECT_NOT_FOUND, ARCHIVE_NOT_LAZY, …
 */
export async function openArchiveSource(name: string, context: ArchiveSourceContext): Promise<MountableArchive> {
  if (name.startsWith('docker://'))
    return await fromRegistryImage(parseReference(name.slice('docker://'.length)), context);
  if (name.startsWith('s3://')) return await fromObjectUrl(name, context);
  const path = name.startsWith('file://') ? fileURLToPath(name) : resolve(name);
  if (await isFile(path)) return await describeArchive(path, 0, context);
  const ids = name.split('/');
  if (ids.length === 2 && !name.startsWith('file://') && !name.startsWith('.') && !isAbsolute(name))
    return await fromPointer(ids[0] ?? '', ids[1] ?? '', context);
  throw new WorkerError(
    'PATH_NOT_FOUND',
    `${name}: no such archive (a file, s3://bucket/key, docker://reference, or WORKSPACE/IMAGE of the store)`,
  );
}

async function fromPointer(workspace: string, image: string, context: ArchiveSourceContext): Promise<MountableArchive> {
  const key = storeKeys.pointer(parseWorkspaceId(workspace), parseImageId(image));
  await using store = context.openStore();
  const read = await readPointer(store, key, context);
  if (read === undefined)
    throw new WorkerError(
      'STORE_OBJECT_NOT_FOUND',
      `${workspace}/${image} was never published: there is no ${store.urlOf(key)}`,
      { key },
    );
  return await fromStore(store, archiveFor(read.pointer, context.platform, `${workspace}/${image}`), context);
}

export function archiveFor({ archives }: Pointer, platform: string, name: string): Pointer['archives'][string] {
  const names = Object.keys(archives);
  const entry = archives[platform] ?? (names.length === 1 ? archives[names[0] ?? ''] : undefined);
  if (entry === undefined)
    throw new WorkerError('PLATFORM_NOT_FOUND', `${name} has no archive for ${platform}; there is ${names.join(', ')}`);
  return entry;
}

async function fromRegistryImage(reference: Reference, context: ArchiveSourceContext): Promise<MountableArchive> {
  const manifest = await imageOf(reference, context);
  await using store = context.openStore();
  const archive = await fromStore(store, await archiveOfManifest(store, manifest, reference, context), {
    blobsAt: reference,
    ...context,
  });
  return {
    ...archive,
    storage: { ...archive.storage, registry: reference.registry, repository: reference.repository },
  };
}

/** The archive that the store has of a manifest. Throws STORE_OBJECT_NOT_FOUND. */
export async function archiveOfManifest(
  store: ObjectStore,
  manifest: Digest,
  reference: Reference,
  { signal }: Cancelable,
): Promise<z.infer<typeof StoredArchive>> {
  const key = storeKeys.manifest(manifest);
  const parse = (value: unknown) => StoredArchive.parse(value);
  const entry = await readJson(store, key, { maxBytes: 1 << 20, parse, signal, what: 'record of an archive' });
  if (entry === undefined)
    throw new WorkerError(
      'STORE_OBJECT_NOT_FOUND',
      `there is no archive of ${formatReference(reference)}: no ${store.urlOf(key)}`,
      { key },
    );
  return entry.content;
}

/** The manifest that a reference names, of an index the one for the platform: archives are kept by it. */
export async function imageOf(
  reference: Reference,
  { client, platform, signal }: Pick<ArchiveSourceContext, 'client' | 'platform' | 'signal'>,
): Promise<Digest> {
  const found = await client.headManifest(reference, manifestNameOf(reference), { signal });
  if (found === undefined)
    throw new WorkerError('REGISTRY_NOT_FOUND', `the registry has no ${formatReference(reference)}`);
  if (!isIndexType(found.mediaType)) return found.digest;
  const { bytes } = await client.getManifest(reference, found.digest, { signal });
  return selectPlatform(parseIndex(bytes), parsePlatform(platform)).digest;
}

/** What an object `manifests/…` says of its archive, as far as a mount needs it. */
const StoredArchive = PointerSchema.shape.archives.valueType.pick({ digest: true, footerDigest: true });
type StoredArchive = z.infer<typeof StoredArchive>;

async function fromStore(
  store: ObjectStore,
  { digest, footerDigest }: StoredArchive,
  context: ArchiveSourceContext,
): Promise<MountableArchive> {
  const path = await cachedPath(context.cacheDir, hexOf(digest));
  return await fetchedArchive(store, storeKeys.archive(digest), path, context, { digest, footerDigest });
}

async function fromObjectUrl(url: string, context: ArchiveSourceContext): Promise<MountableArchive> {
  const slash = url.indexOf('/', 's3://'.length);
  if (slash === -1 || slash === url.length - 1)
    throw new WorkerError('USAGE', `${url} names no object: write s3://bucket/key`);
  await using store = context.openStore(url.slice(0, slash));
  const key = url.slice(slash + 1);
  const head = await store.head(key, context);
  if (head === undefined) throw new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${url}`, { key });
  const path = await cachedPath(context.cacheDir, createHash('sha256').update(`${url}\n${head.etag}`).digest('hex'));
  return await fetchedArchive(store, key, path, context);
}

/** Windows of seek points stay in the store where they can be read from it one by one. */
async function fetchedArchive(
  store: ObjectStore,
  key: string,
  path: string,
  context: ArchiveSourceContext,
  expected?: StoredArchive,
): Promise<MountableArchive> {
  const address = await store.readAddress(key, context);
  const standIn = await readStandIn(path, context);
  if (standIn !== undefined) return standIn;
  const fetch = () => fetchParts(store, key, path, address !== undefined, context, expected);
  const there = await takeCached(path);
  const fetched = there ? 0 : await fetch();
  try {
    return { ...(await describeFetched(path, fetched, context)), address };
  } catch (thrown) {
    if (!there || !(await dropDamaged(path, context.cacheDir, thrown))) throw thrown;
  }
  return { ...(await describeFetched(path, await fetch(), context)), address };
}

/** What was made of the archive at `path`; undefined when it is not there any more, or damaged. */
async function readStandIn(path: string, context: ArchiveSourceContext): Promise<MountableArchive | undefined> {
  const complete = await completeInPlaceOf(path);
  try {
    return complete === undefined ? undefined : await readArchive(complete, 0, context);
  } catch (thrown) {
    if (complete === undefined || !(await dropDamaged(complete, context.cacheDir, thrown))) throw thrown;
    return undefined;
  }
}

/** Of a V1 archive what was made for mounting has every byte: what was fetched is not kept beside it. */
async function describeFetched(
  path: string,
  fetchedBytes: number,
  context: ArchiveSourceContext,
): Promise<MountableArchive> {
  const archive = await describeArchive(path, fetchedBytes, context);
  if (archive.localLayers !== undefined) await replaceByComplete(path, archive.path, context);
  return archive;
}

async function fetchParts(
  store: ObjectStore,
  key: string,
  path: string,
  withoutWindows: boolean,
  { signal }: Cancelable,
  expected?: StoredArchive,
): Promise<number> {
  const head = await store.head(key, { signal });
  if (head === undefined) throw new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${store.urlOf(key)}`, { key });
  const source = objectSource(store, key, head.sizeBytes);
  const expectedFooterDigest = expected?.footerDigest;
  try {
    const { fetchedBytes } = await fetchForMount(source, path, {
      signal,
      withoutWindows,
      ...(expectedFooterDigest !== undefined && { expectedFooterDigest }),
    });
    return fetchedBytes;
  } catch (thrown) {
    if (!isNotLazy(thrown)) throw thrown;
  }
  await fetchWhole(store, key, path, { signal }, expected?.digest);
  return head.sizeBytes;
}

/** An archive without what a mount needs: all of it says which image it is, or holds the files (V1). */
async function fetchWhole(
  store: ObjectStore,
  key: string,
  path: string,
  { signal }: Cancelable,
  digest?: Digest,
): Promise<void> {
  const { body, sizeBytes } = await store.get(key, { signal });
  await writeFileAtomically(path, body, {
    temporaryDir: dirname(path),
    signal,
    ...(digest !== undefined && { through: verify({ digest, sizeBytes }) }),
  });
}

function isNotLazy(thrown: unknown): boolean {
  return thrown instanceof WorkerError && thrown.code === 'ARCHIVE_NOT_LAZY';
}

async function describeArchive(
  path: string,
  fetchedBytes: number,
  context: ArchiveSourceContext,
): Promise<MountableArchive> {
  try {
    return await readArchive(path, fetchedBytes, context);
  } catch (thrown) {
    if (!isNotLazy(thrown)) throw thrown;
  }
  const complete = () => completeArchive(path, { ...context, blobsAt: context.blobsAt });
  const made = await complete();
  try {
    return await readArchive(made, fetchedBytes, context);
  } catch (thrown) {
    if (!(await dropDamaged(made, context.cacheDir, thrown))) throw thrown;
  }
  return await readArchive(await complete(), fetchedBytes, context);
}

async function readArchive(path: string, fetchedBytes: number, { signal }: Cancelable): Promise<MountableArchive> {
  await using source = await fileSource(path);
  const { config: bytes, storage } = await readDocuments(source, { signal });
  const config = parseImageConfig(bytes);
  const [layer, diffId] = [v1LayerOf(path), config.rootfs.diff_ids[0]];
  const localLayers = layer === undefined || diffId === undefined ? undefined : { [diffId]: layer };
  return { path, fetchedBytes, storage, config, localLayers };
}

async function cachedPath(cacheDir: string, name: string): Promise<string> {
  const directory = await makeArchivesDirectory(cacheDir);
  return join(directory, `${name}.clip`);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
