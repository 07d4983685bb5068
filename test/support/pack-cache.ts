import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEFAULT_LIMITS, type Limits } from '../../src/config/index.ts';
import { digestOf } from '../../src/digest/index.ts';
import {
  DEFAULT_CHUNK_BYTES,
  type LayerResult,
  PackCache,
  type PackEntry,
  type PackKey,
  type SharedPacks,
} from '../../src/indexer/index.ts';

/** A key and its layer, made of a name. */
export function packOf(name: string, action: PackKey['action'] = 'pack'): { key: PackKey; layer: LayerResult } {
  const source = digestOf(`plain ${name}`);
  const blob = blobOf(name);
  const layer: LayerResult = {
    digest: action === 'pack' ? digestOf(blob) : source,
    diffId: source,
    mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
    sizeBytes: blob.length,
    plainBytes: 11,
    entries: 1,
    chunks: 1,
    spans: 1,
    seekable: true,
    warnings: {},
  };
  const compression = { codec: 'zstd', level: 1, chunkBytes: DEFAULT_CHUNK_BYTES } as const;
  return { key: { source, action, encoder: 'index-1+zstd-1.5.7', compression }, layer };
}

export const blobOf = (name: string): string => `blob of ${name}`;
export const indexOf = (name: string): string => `index of ${name}`;

/** The cache of one job: with a folder of its own for what it uses. */
export async function cacheOf(
  root: string,
  job: string,
  shared?: SharedPacks,
  limits: Limits = DEFAULT_LIMITS,
): Promise<PackCache> {
  const pinDir = join(root, 'jobs', job);
  await mkdir(pinDir, { recursive: true });
  return new PackCache({ root, pinDir, limits, shared, signal: AbortSignal.timeout(60_000) });
}

/** What a pack of that layer would put. */
export async function putPack(cache: PackCache, name: string, action: PackKey['action'] = 'pack'): Promise<PackEntry> {
  const { key, layer } = packOf(name, action);
  const { blob, index } = await cache.scratch();
  await writeFile(index, indexOf(name));
  if (action === 'keep') return await cache.put(key, layer, { index });
  await writeFile(blob, blobOf(name));
  return await cache.put(key, layer, { index, blob });
}
