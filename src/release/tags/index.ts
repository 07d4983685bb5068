export { calculateTags, type RuleExplanation, type TagRequest, type TagResult } from './calculate.ts';
export { effectiveContext, githubTagContext, parseTagContext, type TagContext } from './context.ts';
export { PRESETS, type PresetName } from './presets.ts';
