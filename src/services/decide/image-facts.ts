import type { Digest } from '../../digest/index.ts';

/** The image that was built here last. */
export interface LocalImage {
  readonly digest: Digest;
  /** What remains where a registry writes manifests anew: the configuration's digest; of several platforms, that of their digests. */
  readonly configDigest: Digest | undefined;
  readonly contextHash: string;
  /** Its bytes are still in the local layout, so that it can be pushed. */
  readonly isKept: boolean;
}

/** What the registry says of a tag. Only 404 is `absent`; whatever else goes wrong is `unknown`. */
export type RemoteImage =
  | { readonly tag: string; readonly state: 'absent' }
  | { readonly tag: string; readonly state: 'unknown'; readonly reason: string }
  | {
      readonly tag: string;
      readonly state: 'present';
      readonly digest: Digest;
      readonly configDigest?: Digest | undefined;
      /** Of the label; undefined where it has none, or was not looked at. */
      readonly contextHash?: string | undefined;
    };

export type PresentImage = Extract<RemoteImage, { state: 'present' }>;

/** By repository digest, never by image id; where a registry converted the manifest, by the configuration. */
export function isSameImage(
  local: Pick<LocalImage, 'digest' | 'configDigest'>,
  remote: Pick<PresentImage, 'digest' | 'configDigest'>,
): boolean {
  if (local.digest === remote.digest) return true;
  return local.configDigest !== undefined && local.configDigest === remote.configDigest;
}
