export { ArchiveCache, type ArchiveCacheOptions, type ArchiveInputs } from './archive-cache.ts';
export { type ArchiveKey, nameOfArchiveKey } from './archive-entry.ts';
export { type ArchiveListing, listArchives } from './archive-upkeep.ts';
export {
  type Codec,
  type Compression,
  DEFAULT_CHUNK_BYTES,
  DEFAULT_LEVEL,
  LEVELS,
  type Level,
} from './compression.ts';
export { fileHolds } from './hash-file.ts';
export { type IndexTool, indexTool } from './index-tool.ts';
export { LayerFeed, type LayerFeedOptions } from './layer-feed.ts';
export {
  type ArchiveFormat,
  type AssembleRequest,
  assembleArchive,
  encoderIds,
  type LayerTask,
  type PackOptions,
  packLayers,
  verifyArchive,
} from './layer-indexer.ts';
export { PackCache, type PackCacheOptions, type PackEntry } from './pack-cache.ts';
export { nameOfKey, type PackDocument, type PackKey } from './pack-entry.ts';
export {
  collectPacks,
  listPacks,
  type PackContents,
  type PackDamage,
  type PackGarbage,
  type PackListing,
  type PackReport,
  planGarbage,
  verifyPacks,
} from './pack-upkeep.ts';
export type { AssembleResult, LayerResult, VerifyResult } from './results.ts';
export { SharedPacks } from './shared-packs.ts';
