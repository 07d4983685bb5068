import type { Expected } from '../digest/index.ts';
import type { PackCache, PackEntry } from '../indexer/index.ts';
import { layerCodecOf } from '../oci/index.ts';
import { type PackRules, packKeyOf } from './pack-step.ts';
import type { BlobLookup } from './registry-blobs.ts';

export interface SkipOptions extends PackRules {
  readonly cache: PackCache;
  readonly inRegistry: BlobLookup;
  /** A complete layout is wanted: kept layers must come, and the daemon gives them by a link. */
  readonly wantsLayout: boolean;
}

/**
 * Whether a blob of a build need not come from the daemon: a layer whose index is cached and whose blob, as the image will name
 * it, is in the cache or in the registry. Nobody reads it then. (A daemon that never had a base layer still pulls it: BuildKit's
 * exporter `oci` fetches all layers before it offers the first.) Only the digest is known here, so both keys are tried.
 */
export async function needNotLand(blob: Expected, options: SkipOptions): Promise<boolean> {
  const { cache, inRegistry } = options;
  const packKey = packKeyOf(blob.digest, 'plain', options);
  const packed = packKey.action === 'pack' ? await cache.get(packKey) : undefined;
  if (packed !== undefined) return packed.blobPath !== undefined || (await inRegistry(packed.layer));
  const kept = await cache.get(packKeyOf(blob.digest, 'gzip', options));
  if (kept === undefined || options.wantsLayout || willBePacked(kept, options)) return false;
  return await inRegistry(blob);
}

/** `index` keeps plain layers too; a build packs them. */
function willBePacked({ layer }: PackEntry, options: PackRules): boolean {
  return packKeyOf(layer.digest, layerCodecOf(layer.mediaType), options).action === 'pack';
}
