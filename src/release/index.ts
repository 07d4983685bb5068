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
