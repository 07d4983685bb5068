export { type Archive, type ArchiveKind, isMountable, openArchive } from './archive.ts';
export { type ByteString, byteStringOfBytes, byteStringOfText, bytesOf, displayOf } from './byte-string.ts';
export type { ClipHeader } from './clip-header.ts';
export type { ClipAttributes, ClipNode, ClipNodeType, RemoteData } from './clip-node.ts';
export type { ImageDocuments } from './config-section.ts';
export {
  type ArchiveDescription,
  describe,
  type LayerDescription,
  type NodeCounts,
  type SectionDescription,
} from './describe.ts';
export { type FetchedForMount, type FetchForMountOptions, fetchForMount, readDocuments } from './fetch-for-mount.ts';
export type { Footer, SectionName, SectionRecord } from './footer.ts';
export { type ImageId, imageTag, parseImageId, parseImageTag, parseWorkspaceId, type WorkspaceId } from './identity.ts';
export { type LayerCodec, type LayerRecord, parseLayersSection, type SeekPoint } from './layers-section.ts';
export { formatRows, type ListRow, listPath, modeText, rowOf } from './list-path.ts';
export { openLocalFile } from './local-file.ts';
export { type NodeTree, nameOf, nodeTree, resolvePath } from './node-tree.ts';
export { bytesSource, fileSource, type OpenRangeSource, type RangeSource } from './range-source.ts';
export type { ArchiveStorage, ImageMetadata, OciStorage, S3Storage } from './storage-info.ts';
export { formatStorageReference, type StorageReference } from './storage-reference.ts';
