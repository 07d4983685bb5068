import { WorkerError } from '../errors/index.ts';
import { type Compression, DEFAULT_CHUNK_BYTES, DEFAULT_LEVEL, LEVELS } from '../indexer/index.ts';
import type { BuildSpec } from './build-spec.ts';

/** What the packer takes (clipyard-index, request `pack`). */
const CHUNK = { min: 4096, max: 4 * 1024 * 1024 };

/** How new layers are packed. Throws SPEC_INVALID with the codec's own bounds. */
export function compressionOf({
  chunkBytes = DEFAULT_CHUNK_BYTES,
  compression,
  level,
}: Pick<BuildSpec, 'chunkBytes' | 'compression' | 'level'>): Compression {
  if (chunkBytes < CHUNK.min || chunkBytes > CHUNK.max || (chunkBytes & (chunkBytes - 1)) !== 0)
    throw invalid('chunkBytes', chunkBytes, `a power of two from ${CHUNK.min} to ${CHUNK.max}`);
  if (compression === 'auto') {
    if (level !== undefined) throw invalid('level', level, 'none, as auto chooses it');
    return { codec: 'zstd', level: 'auto', chunkBytes };
  }
  const { max, min } = LEVELS[compression];
  const chosen = level ?? Math.max(DEFAULT_LEVEL, min);
  if (chosen < min || chosen > max) throw invalid('level', chosen, `${min} to ${max}`);
  return { codec: compression, level: chosen, chunkBytes };
}

function invalid(field: string, value: number, wanted: string): WorkerError {
  return new WorkerError('SPEC_INVALID', `the build's ${field} is ${value} instead of ${wanted}`, { field });
}
