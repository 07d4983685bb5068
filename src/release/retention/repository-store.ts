import type { Digest } from '../../digest/index.ts';
import { digestOf } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { DeleteOutcome, FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';
import { type RepositoryReader, registryReader } from '../inventory/index.ts';
import { EMPTY_BLOB, removedTagMark } from './removed-tag.ts';

/** A repository that can be read and cleaned: the distribution API, or a registry's own. */
export interface RepositoryStore extends RepositoryReader {
  /** The manifest, with every tag on it. Throws REGISTRY_DELETE_UNSUPPORTED, REGISTRY_DENIED. */
  deleteManifest(digest: Digest, options: Cancelable): Promise<DeleteOutcome>;
  /** The tag alone; `digest` is what it named just now, and stays. */
  deleteTag(tag: string, digest: Digest, options: Cancelable): Promise<DeleteOutcome>;
}

/** The distribution API (distribution-spec 1.1, "Content Management"). */
export function registryStore(client: RegistryClient, repository: Repository): RepositoryStore {
  const reader = registryReader(client, repository, {
    listReferrers: (at, digest, { signal }) => client.listReferrers(at, digest, { signal }),
  });
  const deleteManifest = (digest: Digest, { signal }: Cancelable) =>
    client.deleteManifest(repository, digest, { signal });
  return {
    ...reader,
    deleteManifest,
    async deleteTag(tag, digest, { signal }) {
      try {
        return await client.deleteManifest(repository, tag, { signal });
      } catch (thrown) {
        if (!(thrown instanceof WorkerError) || thrown.code !== 'REGISTRY_DELETE_UNSUPPORTED') throw thrown;
        return await deleteByMark(client, repository, { tag, digest, deleteManifest, signal });
      }
    },
  };
}

export interface MarkedRemoval extends Cancelable {
  readonly tag: string;
  /** What the tag named just now. */
  readonly digest: Digest;
  readonly deleteManifest: RepositoryStore['deleteManifest'];
}

/**
 * For registries that delete by digest only: the tag is pointed at a manifest that nothing else has, and that one is deleted. When
 * it cannot be deleted either, the tag is put back where it was.
 */
export async function deleteByMark(
  client: Pick<RegistryClient, 'getManifest' | 'pushBlob' | 'putManifest'>,
  repository: Repository,
  { deleteManifest, digest, signal, tag }: MarkedRemoval,
): Promise<DeleteOutcome> {
  const before: FetchedManifest = await client.getManifest(repository, digest, { signal });
  const blob = { digest: digestOf(EMPTY_BLOB), sizeBytes: EMPTY_BLOB.length, bytes: EMPTY_BLOB };
  await client.pushBlob(repository, blob, { signal });
  const mark = removedTagMark(tag);
  const { digest: marked } = await client.putManifest(repository, tag, mark.bytes, mark.mediaType, { signal });
  try {
    return await deleteManifest(marked, { signal });
  } catch (thrown) {
    if (thrown instanceof WorkerError && !thrown.retryable)
      await client.putManifest(repository, tag, before.bytes, before.mediaType, { signal });
    throw thrown;
  }
}
