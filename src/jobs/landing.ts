import { type Cancelable, WorkerError } from '../errors/index.ts';
import {
  type Descriptor,
  imagesOf,
  isIndexType,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type OciLayout,
  type Platform,
  parseImageConfig,
  parseIndex,
  parseManifest,
  platformOfConfig,
  samePlatform,
} from '../oci/index.ts';
import type { PlatformImage } from './image-plan.ts';

/**
 * The images of a layout's entry, one a platform, attestations left out. `only` keeps the platforms named. Throws
 * PLATFORM_NOT_FOUND, MANIFEST_INVALID, BLOB_MISSING.
 */
export async function readImages(
  layout: OciLayout,
  entry: Descriptor,
  { signal, only }: Cancelable & { readonly only?: readonly Platform[] },
): Promise<readonly PlatformImage[]> {
  const manifests = isIndexType(entry.mediaType)
    ? imagesOf(parseIndex(await layout.readBlob(entry, { maxBytes: MAX_MANIFEST_BYTES, signal })))
    : [entry];
  const images = await Promise.all(manifests.map((descriptor) => readImage(layout, descriptor, signal)));
  if (only === undefined || only.length === 0) return images;
  return only.map((platform) => {
    const found = images.find((image) => samePlatform(image.platform, platform));
    if (found === undefined)
      throw new WorkerError('PLATFORM_NOT_FOUND', `the image has no ${platform.os}/${platform.architecture}`);
    return found;
  });
}

async function readImage(layout: OciLayout, descriptor: Descriptor, signal: AbortSignal): Promise<PlatformImage> {
  const manifestBytes = await layout.readBlob(descriptor, { maxBytes: MAX_MANIFEST_BYTES, signal });
  const manifest = parseManifest(manifestBytes);
  const configBytes = await layout.readBlob(manifest.config, { maxBytes: MAX_CONFIG_BYTES, signal });
  const config = parseImageConfig(configBytes);
  return {
    platform: descriptor.platform ?? platformOfConfig(config),
    descriptor,
    manifest,
    manifestBytes,
    config,
    configBytes,
  };
}
