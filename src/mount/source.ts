import type { StoreAccess } from '../objects/index.ts';
import type { Secret } from '../telemetry/index.ts';

/** Where the blobs of an archive are read from, and with what. */
export interface BlobOrigin {
  readonly registry: { readonly baseUrl: string; readonly repository: string };
  /** Servers to ask before the registry, in this order: scheme, host and port. They get no login. */
  readonly mirrors?: readonly string[];
  readonly credentials?: OriginCredentials;
  /** Where the blobs are instead of the registry, under `blobs/sha256/<hex>`. */
  readonly blobs?: StoreAccess;
  readonly caFile?: string;
}

type S3Keys = Extract<StoreAccess, { kind: 's3' }>['keys'];

/** As docker config and helpers give them; handed over a socket or stdin, never on a command line. */
export type OriginCredentials =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }
  | { readonly registryToken: string };

/** What a mount and `cat` have in common. */
export interface ArchiveSource {
  /** A complete archive, or a sparse file of its length with the parts a mount needs. */
  readonly archive: string;
  /** Where the windows of seek points are read from, when the file lacks them. A secret. */
  readonly archiveAddress?: Secret | undefined;
  /** Plain layers that are on this machine, by diffID; a mount alone reads them. */
  readonly localLayers?: Readonly<Record<string, string>> | undefined;
  readonly cacheDir: string;
  readonly origin: BlobOrigin;
}

export function sourceRequest({ archive, archiveAddress, cacheDir, origin }: ArchiveSource) {
  const { blobs, caFile, credentials, mirrors, registry } = origin;
  return {
    v: 1,
    archive,
    archiveUrl: archiveAddress?.reveal(),
    cacheDir,
    registry,
    mirrors,
    credentials,
    caFile,
    blobs: blobs?.kind === 's3' ? { ...blobs, keys: revealed(blobs.keys) } : blobs,
  };
}

/** Keys as the daemon gets them, over its socket or stdin and nowhere else. */
export function revealed({ accessKeyId, secretAccessKey, sessionToken }: S3Keys) {
  return { accessKeyId, secretAccessKey: secretAccessKey.reveal(), sessionToken: sessionToken?.reveal() ?? '' };
}
