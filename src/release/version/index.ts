export { isDate } from './date.ts';
export { compareSemanticVersions, parseSemanticVersion } from './semantic-version.ts';
export { splitVariant } from './variant-suffix.ts';
