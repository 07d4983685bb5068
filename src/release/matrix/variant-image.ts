import { buffer } from 'node:stream/consumers';
import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import {
  type Descriptor,
  formatPlatform,
  type ImageConfig,
  imagesOf,
  isIndexType,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseIndex,
  parseManifest,
  platformOfConfig,
} from '../../oci/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { MatrixConfig } from './config.ts';

/** Says of an image which variant it is: tags can lie, configurations have a digest. */
export const VARIANT_LABEL = 'dev.clipyard.variant';
export const VERSION_LABEL = 'org.opencontainers.image.version';
export const REVISION_LABEL = 'org.opencontainers.image.revision';

/** What the manifests and configurations under a tag say. */
export interface VariantImage {
  readonly isIndex: boolean;
  /** By the configurations, which is what would run. */
  readonly platforms: readonly string[];
  /** undefined where an image has no such label, or its platforms differ. */
  readonly variant: string | undefined;
  readonly version: string | undefined;
  readonly revision: string | undefined;
}

/** Reads index, manifests and configurations; no layer. Throws REGISTRY_NOT_FOUND, MANIFEST_INVALID, … */
export async function readVariantImage(
  { target }: Pick<MatrixConfig, 'target'>,
  digest: Digest,
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<VariantImage> {
  const top = await client.getManifest(target, digest, { signal });
  const isIndex = isIndexType(top.mediaType);
  const children = isIndex ? imagesOf(parseIndex(top.bytes)).map((child) => child.digest) : [digest];
  const configs: ImageConfig[] = [];
  for (const child of children) {
    const { bytes } = child === digest ? top : await client.getManifest(target, child, { signal });
    configs.push(await readConfig(target, parseManifest(bytes).config, { client, signal }));
  }
  return {
    isIndex,
    platforms: configs.map((config) => formatPlatform(platformOfConfig(config))),
    variant: labelOf(configs, VARIANT_LABEL),
    version: labelOf(configs, VERSION_LABEL),
    revision: labelOf(configs, REVISION_LABEL),
  };
}

async function readConfig(
  target: MatrixConfig['target'],
  { digest, size }: Descriptor,
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<ImageConfig> {
  if (size > MAX_CONFIG_BYTES)
    throw new WorkerError(
      'LIMIT_EXCEEDED',
      `configuration ${digest}: ${size} bytes, at most ${MAX_CONFIG_BYTES} are read`,
    );
  return parseImageConfig(await buffer(await client.getBlobStream(target, digest, { signal })));
}

function labelOf(configs: readonly ImageConfig[], label: string): string | undefined {
  const values = new Set(configs.map(({ config }) => config?.Labels?.[label]));
  return values.size === 1 ? [...values][0] : undefined;
}
