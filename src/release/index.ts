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
