import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { DeleteOutcome, RegistryClient, Repository } from '../../registry/index.ts';
import { type RepositoryReader, registryReader } from '../inventory/index.ts';
import { deleteTag } from '../retag/index.ts';

/** A repository that can be read and cleaned: the distribution API, or a registry's own. */
export interface RepositoryStore extends RepositoryReader {
  /** The manifest, with every tag on it. Throws REGISTRY_DELETE_UNSUPPORTED, REGISTRY_DENIED. */
  deleteManifest(digest: Digest, options: Cancelable): Promise<DeleteOutcome>;
  /** The tag alone; `digest` is what it named just now, and stays. */
  deleteTag(tag: string, digest: Digest, options: Cancelable): Promise<DeleteOutcome>;
  /** The manifest by its digest, as it is there already. Nothing when it surely is not there. */
  putAgain(digest: Digest, options: Cancelable): Promise<void>;
}

/** The distribution API (distribution-spec 1.1, "Content Management"). */
export function registryStore(client: RegistryClient, repository: Repository): RepositoryStore {
  const reader = registryReader(client, repository, {
    listReferrers: (at, digest, { signal }) => client.listReferrers(at, digest, { signal }),
  });
  return {
    ...reader,
    deleteManifest: (digest, { signal }) => client.deleteManifest(repository, digest, { signal }),
    deleteTag: (tag, digest, { signal }) => deleteTag(client, repository, { tag, digest, signal }),
    async putAgain(digest, { signal }) {
      const found = await reader.readManifest(digest, { signal });
      if (found !== undefined) await client.putManifest(repository, digest, found.bytes, found.mediaType, { signal });
    },
  };
}
