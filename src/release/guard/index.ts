export { decideMovingTags, type LatestMode, type MovingTagsRequest, type TagDecision } from './moving-tags.ts';
export { guardPermanentTag } from './permanent-tag.ts';
export { type Coverage, coverageOf, type TagMobility, tagKind } from './tag-kind.ts';
export {
  compareVersions,
  type GuardVersion,
  highestOf,
  parseGuardVersion,
  type VariantNames,
} from './version.ts';
