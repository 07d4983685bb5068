export { decideMovingTags, type LatestMode, type MovingTagsRequest, type TagDecision } from './moving-tags.ts';
export { guardPermanentTag } from './permanent-tag.ts';
export { type GuardedTag, guardReleaseTags } from './release-tags.ts';
export { type Coverage, coverageOf, mobilityOf, type TagMobility } from './tag-mobility.ts';
export {
  compareVersions,
  type GuardVersion,
  highestOf,
  parseGuardVersion,
  type VariantNames,
} from './version.ts';
