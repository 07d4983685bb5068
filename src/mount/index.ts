export { catFile, verifyBlobs } from './cat.ts';
export { type Comparison, compareTrees, type Difference } from './compare.ts';
export {
  type CachedLayer,
  collectCachedLayers,
  listCache,
  pinCachedLayers,
  verifyCachedLayers,
} from './layer-cache.ts';
export type { MountDaemon } from './mount-daemon.ts';
export type { MountRecord } from './mount-record.ts';
export type { MountStat } from './mount-stat.ts';
export {
  listMounts,
  type MountEngine,
  type Mounted,
  type MountListing,
  type MountOptions,
  mountArchive,
  type PageCache,
  type Recording,
  statMount,
  traceMount,
  unmount,
} from './mounts.ts';
export { repairMounts } from './repair.ts';
export { type ContainerCommand, type ContainerRuntime, type ImageDefaults, runContainer } from './run-container.ts';
export { createWorkDirectory, removeWorkDirectory } from './run-directory.ts';
export type { ArchiveSource, BlobOrigin, OriginCredentials } from './source.ts';
export { mountWritable } from './writable.ts';
