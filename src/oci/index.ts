export {
  ABSENT_ANNOTATION,
  ATTESTATION_SUBJECT_ANNOTATION,
  ATTESTATION_TYPE_ANNOTATION,
  REF_NAME_ANNOTATION,
} from './annotations.ts';
export { canonicalJson } from './canonical-json.ts';
export type { Descriptor } from './descriptor.ts';
export {
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  platformOfConfig,
} from './image-config.ts';
export type { LayoutGarbage } from './layout/gc.ts';
export { OciLayout } from './layout/layout.ts';
export type { LayoutProblem, LayoutReport } from './layout/verify.ts';
export { type Index, MAX_MANIFEST_BYTES, type Manifest, parseIndex, parseManifest } from './manifest.ts';
export { isIndexType, isManifestType, type LayerCodec, layerCodecOf, MEDIA_TYPES } from './media-types.ts';
export { formatPlatform, localPlatform, type Platform, parsePlatform, samePlatform } from './platform.ts';
export { attestationsOf, imagesOf, selectPlatform } from './select.ts';
