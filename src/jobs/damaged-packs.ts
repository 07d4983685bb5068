import type { Cancelable } from '../errors/index.ts';
import { type ErrorCode, WorkerError } from '../errors/index.ts';
import { fileHolds, type PackCache } from '../indexer/index.ts';
import type { PackedLayer } from './pack-step.ts';

/** The assembler refuses an index that is damaged, of another version, or of another blob. */
const INDEX_CODES: readonly ErrorCode[] = ['LAYER_INDEX_INVALID', 'ARCHIVE_MISMATCH'];

/**
 * Whether a build failed because of what the pack cache gave it; that is dropped then, and the build may run once more. A
 * blob that was in the registry a moment ago and is not any more is such a case too.
 */
export async function dropDamagedPacks(
  failure: unknown,
  layers: readonly PackedLayer[],
  { cache, signal }: Cancelable & { readonly cache: Pick<PackCache, 'drop'> },
): Promise<boolean> {
  if (!(failure instanceof WorkerError)) return false;
  const cached = layers.filter(({ fromCache }) => fromCache);
  if (INDEX_CODES.includes(failure.code)) {
    const damaged = await damagedIndexes(cached, { signal });
    for (const { key } of damaged) await cache.drop(key);
    return damaged.length > 0;
  }
  const blob = cached.find(({ layer }) => layer.digest === failure.details['digest']);
  if (blob === undefined || (failure.code !== 'BLOB_MISMATCH' && failure.code !== 'BLOB_MISSING')) return false;
  if (failure.code === 'BLOB_MISMATCH') await cache.drop(blob.key, { blob: blob.layer.digest });
  return failure.code === 'BLOB_MISSING' || blob.packed === 'cached';
}

/** Those whose bytes changed; all of them when none did: then they were written wrong. */
async function damagedIndexes(cached: readonly PackedLayer[], { signal }: Cancelable): Promise<readonly PackedLayer[]> {
  const damaged: PackedLayer[] = [];
  for (const layer of cached) {
    if (!(await fileHolds(layer.indexPath, layer.index, { signal }))) damaged.push(layer);
  }
  return damaged.length > 0 ? damaged : cached;
}
