export { type Digest, digestOf, digestOfHex, hexOf, isDigest, parseDigest } from './digest.ts';
export { type Expected, verify } from './verify.ts';
