import type { Digest } from '../digest/index.ts';

const DIGEST_TAG = /^sha256-[0-9a-f]{64}(?:\.[a-z]+)?$/;

/** Where clients keep the referrers of a manifest at a registry that does not (distribution-spec 1.1, "Referrers Tag Schema"). */
export function fallbackTagOf(digest: Digest): string {
  return digest.replace(':', '-');
}

/** Whether a tag belongs to a digest: its list of referrers, or cosign's `.sig`, `.att` and `.sbom`. It names no image and no version. */
export function isDigestTag(tag: string): boolean {
  return DIGEST_TAG.test(tag);
}
