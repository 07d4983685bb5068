import type { Digest } from '../digest/index.ts';

/** Where clients keep the referrers of a manifest at a registry that does not (distribution-spec 1.1, "Referrers Tag Schema"). */
export function fallbackTagOf(digest: Digest): string {
  return digest.replace(':', '-');
}
