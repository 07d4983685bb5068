export {
  type Coverage,
  compareVersions,
  coverageOf,
  decideMovingTags,
  type GuardVersion,
  guardPermanentTag,
  highestOf,
  type LatestMode,
  type MovingTagsRequest,
  parseGuardVersion,
  type TagDecision,
  type TagKind,
  tagKind,
  type VariantNames,
} from './guard/index.ts';
export {
  createRepositoryLock,
  NO_LOCK,
  type RepositoryLock,
  type RetagRequest,
  type RetagResult,
  type RetagTarget,
  retagImage,
  type TagWrite,
} from './retag/index.ts';

export {
  calculateTags,
  githubTagContext,
  PRESETS,
  type PresetName,
  parseTagContext,
  type RuleExplanation,
  type TagContext,
  type TagRequest,
  type TagResult,
} from './tags/index.ts';
