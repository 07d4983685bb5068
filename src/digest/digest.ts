import { createHash } from 'node:crypto';
import { WorkerError } from '../errors/index.ts';

/** `sha256:` and 64 lower-case hex characters (OCI image-spec 1.1, descriptor.md, "Digests"). */
export type Digest = string & { readonly __brand: 'Digest' };

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Throws DIGEST_INVALID. Only sha256 is known: it is the one algorithm every registry must take. */
export function parseDigest(text: string): Digest {
  if (!DIGEST.test(text))
    throw new WorkerError('DIGEST_INVALID', `not a sha256 digest: ${JSON.stringify(text.slice(0, 100))}`);
  return text as Digest;
}

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** The 64 hex characters, as they name a file in an OCI layout. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function digestOfHex(hex: string): Digest {
  return parseDigest(`sha256:${hex}`);
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}
