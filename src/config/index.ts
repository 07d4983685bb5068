export { ageMsOf } from './age.ts';
export { inWords } from './in-words.ts';
export {
  DEFAULT_LIMITS,
  LIMIT_NAMES,
  LIMIT_SETTINGS,
  type LimitName,
  type Limits,
  limitNameOf,
  limitVariable,
  parseLimit,
} from './limits.ts';
export { loadSettings, type Settings, SettingsSchema } from './settings.ts';
export { sizeOf } from './size.ts';
