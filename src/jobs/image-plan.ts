import { type Digest, digestOf } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';
import type { LayerResult } from '../indexer/index.ts';
import {
  canonicalJson,
  type Descriptor,
  type ImageConfig,
  type Index,
  type Manifest,
  MEDIA_TYPES,
  type Platform,
} from '../oci/index.ts';

/** One platform of an image as BuildKit (or a layout, or a registry) gave it. */
export interface PlatformImage {
  readonly platform: Platform;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
}

export interface PlannedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Layers of a platform with their diffIDs (image-spec 1.1, config.md: they align). Throws MANIFEST_INVALID. */
export function layersOf({ config, manifest }: PlatformImage): readonly { descriptor: Descriptor; diffId: Digest }[] {
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw new WorkerError(
      'MANIFEST_INVALID',
      `the manifest has ${manifest.layers.length} layers and its configuration ${diffIds.length} diffIDs`,
    );
  }
  return manifest.layers.map((descriptor, at) => ({ descriptor, diffId: diffIds[at] as Digest }));
}

/** The manifest with packed layers in the place of the plain ones; the same bytes where every layer is kept. */
export function planManifest(image: PlatformImage, packedOf: (source: Digest) => LayerResult): PlannedManifest {
  const { descriptor, manifest, manifestBytes, platform } = image;
  const layers = manifest.layers.map((source): Descriptor => {
    const { digest, mediaType, sizeBytes } = packedOf(source.digest);
    return { ...source, mediaType, digest, size: sizeBytes };
  });
  // BuildKit writes `layers: null` for an image without any, which readers of manifests refuse: that one is written anew.
  const keepsAll =
    layers.length > 0 &&
    layers.every(({ digest, mediaType }, at) => {
      const source = manifest.layers[at];
      return digest === source?.digest && mediaType === source.mediaType;
    });
  if (keepsAll) {
    const { digest, mediaType, size } = descriptor;
    return { bytes: manifestBytes, descriptor: { mediaType, digest, size, platform } };
  }
  const bytes = canonicalJson({ ...manifest, mediaType: MEDIA_TYPES.ociManifest, layers });
  return {
    bytes,
    descriptor: {
      mediaType: MEDIA_TYPES.ociManifest,
      digest: digestOf(bytes),
      size: bytes.length,
      platform,
    },
  };
}

/** The index over several platforms and what is attested of them, in the order given (image-spec 1.1, image-index.md). */
export function planIndex(manifests: readonly Descriptor[]): PlannedManifest {
  const index: Index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [...manifests] };
  const bytes = canonicalJson(index);
  return { bytes, descriptor: { mediaType: MEDIA_TYPES.ociIndex, digest: digestOf(bytes), size: bytes.length } };
}
