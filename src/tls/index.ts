export { readAuthorities, type Trust, trusting } from './authorities.ts';
export { untrustedError } from './untrusted.ts';
