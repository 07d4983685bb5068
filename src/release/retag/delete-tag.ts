import { type Digest, digestOf } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import { MEDIA_TYPES, parseManifest } from '../../oci/index.ts';
import type { DeleteOutcome, FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';
import { EMPTY_BLOB, isRemovedTagMark, type RemovedTagMark, removedTagMark } from './removed-tag.ts';

export type MarkingClient = Pick<RegistryClient, 'getManifest' | 'headManifest' | 'pushBlob' | 'putManifest'>;

export interface TagDeletion extends Cancelable {
  readonly tag: string;
  /** What the tag named just now; it stays. */
  readonly digest: Digest;
}

export interface MarkedDeletion extends TagDeletion {
  readonly deleteManifest: (digest: Digest, options: Cancelable) => Promise<DeleteOutcome>;
}

/** A deletion that was begun is ended, or taken back, also when the run is stopped; a person waits so long at most. */
const SETTLE_MS = 15_000;

/** Deletes the tag alone, by tag or, where the registry deletes by digest only, by a mark. Throws REGISTRY_DELETE_UNSUPPORTED with the tag as it was. */
export async function deleteTag(
  client: MarkingClient & Pick<RegistryClient, 'deleteManifest'>,
  repository: Repository,
  { digest, signal, tag }: TagDeletion,
): Promise<DeleteOutcome> {
  try {
    return await client.deleteManifest(repository, tag, { signal });
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'REGISTRY_DELETE_UNSUPPORTED') throw thrown;
  }
  // Whether it deletes at all is found out beside the tag: it must not lose its image, not for a moment, to a registry that does not.
  const probe = removedTagMark(tag);
  await pushMark(probe, probe.digest, { client, repository, signal });
  await client.deleteManifest(repository, probe.digest, { signal });
  const deleteManifest: MarkedDeletion['deleteManifest'] = (marked, options) =>
    client.deleteManifest(repository, marked, options);
  return await deleteByMark(client, repository, { tag, digest, deleteManifest, signal });
}

/**
 * For registries that delete manifests only, each with all of its tags: the tag is pointed at a manifest that nothing else has, and that
 * one is deleted. Where that fails the tag is put back where it was; a run that is stopped ends the deletion first. After a kill, or
 * where the registry is gone, the tag stays on the mark, and the next deletion of it takes the mark away.
 */
export async function deleteByMark(
  client: MarkingClient,
  repository: Repository,
  deletion: MarkedDeletion,
): Promise<DeleteOutcome> {
  const { deleteManifest, digest, signal, tag } = deletion;
  const before = await client.getManifest(repository, digest, { signal });
  if (isLeftMark(before, tag)) return await deleteManifest(digest, { signal });
  const mark = removedTagMark(tag);
  try {
    await pushMark(mark, tag, { client, repository, signal });
    return await deleteManifest(mark.digest, { signal });
  } catch (thrown) {
    const isGone = await settle(mark, before, deletion, { client, repository }).catch((cause: unknown) => {
      const { code, details, message } = toWorkerError(thrown, `delete ${tag}`);
      const left = `${tag} may name a manifest of no image until it is deleted again (${toWorkerError(cause, 'put back').message})`;
      throw new WorkerError(code, `${message}; ${left}`, details, { cause: thrown });
    });
    if (isGone && !signal.aborted) return 'deleted';
    throw thrown;
  }
}

interface Place {
  readonly client: MarkingClient;
  readonly repository: Repository;
}

async function pushMark(
  { bytes, mediaType }: RemovedTagMark,
  name: string,
  { client, repository, signal }: Place & Cancelable,
): Promise<void> {
  const blob = { digest: digestOf(EMPTY_BLOB), sizeBytes: EMPTY_BLOB.length, bytes: EMPTY_BLOB };
  await client.pushBlob(repository, blob, { signal });
  await client.putManifest(repository, name, bytes, mediaType, { signal });
}

/** Whether the tag is gone after all. A tag on the mark goes where the run was stopped, and else gets back what it named. */
async function settle(
  mark: RemovedTagMark,
  before: FetchedManifest,
  { deleteManifest, signal: stopped, tag }: MarkedDeletion,
  { client, repository }: Place,
): Promise<boolean> {
  const signal = AbortSignal.timeout(SETTLE_MS);
  const now = (await client.headManifest(repository, tag, { signal }))?.digest;
  if (now !== mark.digest) return now === undefined;
  if (stopped.aborted) {
    const isGone = await deleteManifest(mark.digest, { signal }).then(
      () => true,
      () => false,
    );
    if (isGone) return true;
  }
  await client.putManifest(repository, tag, before.bytes, before.mediaType, { signal });
  return false;
}

function isLeftMark({ bytes, mediaType }: FetchedManifest, tag: string): boolean {
  return mediaType === MEDIA_TYPES.ociManifest && isRemovedTagMark(parseManifest(bytes), tag);
}
