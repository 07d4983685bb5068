/** Where the blobs of an archive are read from, and with what. */
export interface BlobOrigin {
  readonly registry: { readonly baseUrl: string; readonly repository: string };
  readonly credentials?: OriginCredentials;
  readonly caFile?: string;
}

/** As docker config and helpers give them; handed over a socket or stdin, never on a command line. */
export type OriginCredentials =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }
  | { readonly registryToken: string };

/** What a mount and `cat` have in common. */
export interface ArchiveSource {
  /** A complete archive, or a sparse file of its length with the parts a mount needs. */
  readonly archive: string;
  readonly cacheDir: string;
  readonly origin: BlobOrigin;
}

export function sourceRequest({ archive, cacheDir, origin }: ArchiveSource) {
  return { v: 1, archive, cacheDir, registry: origin.registry, credentials: origin.credentials, caFile: origin.caFile };
}
