export { type Codec, type Compression, DEFAULT_CHUNK_BYTES, DEFAULT_LEVEL, LEVELS } from './compression.ts';
export {
  type AssembleRequest,
  assembleArchive,
  encoderIds,
  type LayerTask,
  type PackOptions,
  packLayers,
  verifyArchive,
} from './layer-indexer.ts';
export { linkOrCopy, PackCache, type PackEntry, type PackKey } from './pack-cache.ts';
export type { AssembleResult, LayerResult, VerifyResult } from './results.ts';
