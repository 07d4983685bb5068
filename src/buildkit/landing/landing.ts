import type { Digest, Expected } from '../../digest/index.ts';

/** Where blobs land; an OCI layout of `oci/` is one. */
export interface Landing {
  hasBlob(blob: { readonly digest: Digest; readonly size: number }): Promise<boolean>;
  /** A free path on the landing's file system. */
  temporaryPath(label?: string): Promise<string>;
  /** Adds a blob by link(2) without reading it; false where that is not possible. Throws BLOB_MISMATCH on another size. */
  linkFile(path: string, expected: Expected): Promise<boolean>;
  /** Moves a finished and verified file in. */
  adoptFile(path: string, expected: Expected): Promise<void>;
}

/** Ways for a blob to come over, tried in the order they stand here. */
export const LANDING_PATHS = ['link', 'read', 'session'] as const;
export type LandingPath = (typeof LANDING_PATHS)[number];
