import { join } from 'node:path';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import {
  type Descriptor,
  isIndexType,
  layerCodecOf,
  localPlatform,
  MAX_MANIFEST_BYTES,
  OciLayout,
  parseImageConfig,
  parseIndex,
  parseManifest,
  selectPlatform,
} from '../../oci/index.ts';
import type { Reference, RegistryClient } from '../../registry/index.ts';

/** The image that somebody gave: in an OCI layout or a registry. */
export type GivenImage =
  | { readonly kind: 'oci'; readonly directory: string; readonly name: string | undefined }
  | { readonly kind: 'docker'; readonly reference: Reference };

export interface PlacedImage {
  readonly layout: OciLayout;
  readonly manifest: Descriptor;
  readonly layers: number;
  readonly compressedBytes: number;
  /** What the stock indexer can read: gzip layers only. */
  readonly gzipOnly: boolean;
}

/** Brings a given image into a layout under `directory`, where it stays `latest`: one platform, every blob. */
export async function placeImage(
  image: GivenImage,
  directory: string,
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<PlacedImage> {
  const target = await OciLayout.open(join(directory, 'image'), { create: true, signal });
  const manifest = await (image.kind === 'oci'
    ? fromLayout(image, target, signal)
    : fromRegistry(image, target, { client, signal }));
  await target.setTag('latest', manifest, { signal });
  return await describePlaced(target, manifest, { signal });
}

export async function describePlaced(
  layout: OciLayout,
  manifest: Descriptor,
  { signal }: Cancelable,
): Promise<PlacedImage> {
  const { config, layers } = parseManifest(await layout.readBlob(manifest, { maxBytes: MAX_MANIFEST_BYTES, signal }));
  parseImageConfig(await layout.readBlob(config, { maxBytes: MAX_MANIFEST_BYTES, signal }));
  return {
    layout,
    manifest,
    layers: layers.length,
    compressedBytes: layers.reduce((sum, { size }) => sum + size, 0),
    gzipOnly: layers.every(({ mediaType }) => layerCodecOf(mediaType) === 'gzip'),
  };
}

async function fromLayout(
  { directory, name }: Extract<GivenImage, { kind: 'oci' }>,
  target: OciLayout,
  signal: AbortSignal,
): Promise<Descriptor> {
  const source = await OciLayout.open(directory, { signal });
  const top = await source.resolve(name);
  const read = (descriptor: Descriptor) => source.readBlob(descriptor, { maxBytes: MAX_MANIFEST_BYTES, signal });
  const chosen = isIndexType(top.mediaType) ? selectPlatform(parseIndex(await read(top)), localPlatform()) : top;
  const bytes = await read(chosen);
  const { config, layers } = parseManifest(bytes);
  for (const { digest, size } of [config, ...layers]) {
    const expected = { digest, sizeBytes: size };
    if (await target.linkFile(source.blobPath(digest), expected)) continue;
    throw new WorkerError('BLOB_MISSING', `blob ${digest} is not in ${directory}, or lies on another file system`, {
      digest,
    });
  }
  return await target.putManifest(bytes, chosen.mediaType, { signal });
}

async function fromRegistry(
  { reference }: Extract<GivenImage, { kind: 'docker' }>,
  target: OciLayout,
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<Descriptor> {
  const top = await client.resolve(reference, { signal });
  const chosen = isIndexType(top.mediaType)
    ? await client.getManifest(reference, selectPlatform(parseIndex(top.bytes), localPlatform()).digest, { signal })
    : top;
  const { config, layers } = parseManifest(chosen.bytes);
  for (const { digest, size } of [config, ...layers]) {
    const source = await client.getBlobStream(reference, digest, { signal });
    await target.addBlob(source, { digest, sizeBytes: size }, { signal });
  }
  return await target.putManifest(chosen.bytes, chosen.mediaType, { signal });
}
