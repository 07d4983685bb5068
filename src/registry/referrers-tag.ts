import type { Digest } from '../digest/index.ts';

const FALLBACK = /^sha256-[0-9a-f]{64}$/;

/** Where clients keep the referrers of a manifest at a registry that does not (distribution-spec 1.1, "Referrers Tag Schema"). */
export function fallbackTagOf(digest: Digest): string {
  return digest.replace(':', '-');
}

/** Whether a tag lists referrers: it names no image and no version. */
export function isFallbackTag(tag: string): boolean {
  return FALLBACK.test(tag);
}
