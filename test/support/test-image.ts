import { digestOf } from '../../src/digest/index.ts';
import { canonicalJson, MEDIA_TYPES } from '../../src/oci/index.ts';
import type { BlobSource } from '../../src/registry/index.ts';
import { type BlobFile, newBlobFile, sourceOf } from './blob-file.ts';

export interface TestImage {
  readonly layers: readonly BlobFile[];
  /** Layers and configuration, as they are pushed. */
  readonly blobs: readonly BlobSource[];
  readonly manifest: Uint8Array;
  readonly mediaType: string;
}

/** An image whose layers are random bytes: for registries, which never look inside. */
export async function newTestImage(directory: string, layerBytes: readonly number[]): Promise<TestImage> {
  const layers: BlobFile[] = [];
  for (const sizeBytes of layerBytes) layers.push(await newBlobFile(directory, sizeBytes));
  const config = canonicalJson({
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(({ digest, sizeBytes }) => ({ mediaType: MEDIA_TYPES.ociLayerZstd, digest, size: sizeBytes })),
  });
  const configBlob = { digest: digestOf(config), sizeBytes: config.length, bytes: config };
  return { layers, blobs: [...layers.map(sourceOf), configBlob], manifest, mediaType: MEDIA_TYPES.ociManifest };
}
