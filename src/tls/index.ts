export { readAuthorities, type Trust, trusting } from './authorities.ts';
export { untrustedError, untrustedText } from './untrusted.ts';
