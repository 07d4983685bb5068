import { type Digest, isDigest } from '../digest/index.ts';
import { corrupt } from './failure.ts';

/** Where the blobs of an archive are: an image at a registry, in our archives by the digest of its platform manifest. */
export interface StorageReference {
  /** `host[:port]`. */
  readonly registry: string;
  readonly repository: string;
  readonly digest?: Digest;
  /** Instead of a digest, in some foreign archives. */
  readonly tag?: string;
}

/** Joins what the storage info keeps in three fields; `reference` is a digest or a tag. */
export function storageReferenceOf(registry: string, repository: string, reference: string): StorageReference {
  if (repository === '' || reference === '') throw corrupt('the storage reference has no repository, tag or digest');
  return { registry, repository, ...(isDigest(reference) ? { digest: reference } : { tag: reference }) };
}

/** `registry/repository@sha256:…`, or `:tag`. */
export function formatStorageReference({ registry, repository, digest, tag }: StorageReference): string {
  return `${registry}/${repository}${digest === undefined ? `:${tag ?? ''}` : `@${digest}`}`;
}

/** The form with a digest, as section `config` has it. Throws ARCHIVE_CORRUPT. */
export function parsePinnedReference(text: string): StorageReference & { readonly digest: Digest } {
  const [, registry, repository, digest] = /^([^/]+)\/([^@]+)@(.*)$/s.exec(text) ?? [];
  if (registry === undefined || repository === undefined || digest === undefined || !isDigest(digest)) {
    throw corrupt(`${JSON.stringify(text.slice(0, 300))} is no storage reference with a digest`);
  }
  return { registry, repository, digest };
}
