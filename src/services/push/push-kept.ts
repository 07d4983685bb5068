import pLimit from 'p-limit';
import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import { movePointer, putOnce, readPointer, storeKeys } from '../../jobs/index.ts';
import { type ObjectStore, readObject } from '../../objects/index.ts';
import { type Descriptor, isIndexType, OciLayout, parseIndex, parseManifest } from '../../oci/index.ts';
import type { FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';
import { layoutClient } from '../build/layout-client.ts';

export interface PushKeptContext extends Cancelable {
  readonly client: Pick<RegistryClient, 'pushBlob' | 'putManifest'>;
  readonly image: Repository;
  /** Where the image was kept. */
  readonly layoutDir: string;
}

/** Blobs of one image sent side by side. */
const WIDTH = 3;

/** Pushes an image that was built before, by digest: blobs, then the manifests of an index, then what names them. */
export async function pushKept(digest: Digest, context: PushKeptContext): Promise<void> {
  const { image, layoutDir, signal } = context;
  const layout = await OciLayout.open(layoutDir, { signal });
  const kept = layoutClient(layout);
  const top = await kept.getManifest(image, digest, { signal });
  const children = isIndexType(top.mediaType) ? parseIndex(top.bytes).manifests : [];
  const manifests: FetchedManifest[] = [];
  for (const child of children) manifests.push(await kept.getManifest(image, child.digest, { signal }));
  for (const manifest of children.length === 0 ? [top] : manifests) await pushBlobs(blobsOf(manifest), layout, context);
  for (const { bytes, digest: name, mediaType } of [...manifests, top])
    await context.client.putManifest(image, name, bytes, mediaType, { signal });
}

function blobsOf({ bytes }: FetchedManifest): readonly Descriptor[] {
  const { config, layers } = parseManifest(bytes);
  return [config, ...layers];
}

async function pushBlobs(
  blobs: readonly Descriptor[],
  layout: OciLayout,
  { client, image, signal }: PushKeptContext,
): Promise<void> {
  const failure = new AbortController();
  const stop = AbortSignal.any([signal, failure.signal]);
  const limit = pLimit(WIDTH);
  const distinct = new Map(blobs.map((blob) => [blob.digest, blob]));
  const push = async ({ digest, size }: Descriptor) => {
    try {
      const blob = { digest, sizeBytes: size, path: layout.blobPath(digest) };
      stop.throwIfAborted();
      await client.pushBlob(image, blob, { signal: stop });
    } catch (thrown) {
      failure.abort(thrown);
      throw thrown;
    }
  };
  await Promise.all([...distinct.values()].map((blob) => limit(() => push(blob))));
}

export interface PublishKeptContext extends Cancelable {
  readonly from: ObjectStore;
  readonly to: ObjectStore;
}

const MAX_OBJECT_BYTES = 1024 * 1024;
const MAX_ARCHIVE_BYTES = 512 * 1024 * 1024;

/** Publishes the archives of a kept image, when the image is in the registry: objects, then the pointer. */
export async function publishKept(
  { workspaceId, imageId }: { readonly workspaceId: string; readonly imageId: string },
  digest: Digest,
  { from, signal, to }: PublishKeptContext,
): Promise<void> {
  const key = storeKeys.pointer(workspaceId, imageId);
  const kept = await readPointer(from, key, { signal });
  if (kept?.pointer.indexDigest !== digest) return; // an archive of another build: this one is made when it is mounted
  const before = await readPointer(to, key, { signal });
  const { archives, indexDigest } = kept.pointer;
  for (const archive of Object.values(archives)) {
    await copyObject(storeKeys.archive(archive.digest), MAX_ARCHIVE_BYTES, { from, signal, to });
    await copyObject(storeKeys.record(archive.digest), MAX_OBJECT_BYTES, { from, signal, to });
    await copyObject(storeKeys.manifest(archive.manifestDigest), MAX_OBJECT_BYTES, { from, signal, to });
  }
  await movePointer(to, key, before, { indexDigest, archives }, { signal });
}

async function copyObject(key: string, maxBytes: number, { from, signal, to }: PublishKeptContext): Promise<void> {
  const { bytes } = await readObject(from, key, { signal, maxBytes });
  const sizeOf = async () => (await to.head(key, { signal }))?.sizeBytes ?? -1;
  if ((await sizeOf()) === bytes.length) return;
  if (key.endsWith('.json')) {
    await to.put(key, bytes, { contentType: 'application/json', signal });
    return;
  }
  const options = { contentType: 'application/vnd.clipyard.archive.v1', ifNoneMatch: '*', signal } as const;
  await putOnce(() => to.put(key, bytes, options), sizeOf, { key, sizeBytes: bytes.length });
}
