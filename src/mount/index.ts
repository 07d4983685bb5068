export { catFile, verifyBlobs } from './cat.ts';
export { type Comparison, compareTrees, type Difference } from './compare.ts';
export type { MountStat } from './control.ts';
export { listMountRecords, type MountRecord } from './mount-record.ts';
export { type ContainerCommand, type ImageDefaults, runContainer } from './run-container.ts';
export { createWorkDirectory, removeWorkDirectory } from './run-directory.ts';
export { type Mounted, type MountOptions, serveMount } from './serve.ts';
export type { ArchiveSource, BlobOrigin, OriginCredentials } from './source.ts';
export { findMount, statMount, unmount } from './unmount.ts';
