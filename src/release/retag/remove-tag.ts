import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { DeleteOutcome, RegistryClient, Repository } from '../../registry/index.ts';
import { deleteTag } from './delete-tag.ts';

export interface TagRemoval extends Cancelable {
  readonly client: RegistryClient;
  readonly repository: Repository;
  readonly tag: string;
  /** What the plan found under it. */
  readonly expected?: Digest;
}

/** Removes a tag and nothing else: the image and its other tags stay. Throws TAG_CHANGED, and as `deleteTag`. */
export async function removeTag({ client, expected, repository, signal, tag }: TagRemoval): Promise<DeleteOutcome> {
  const found = (await client.headManifest(repository, tag, { signal }))?.digest;
  if (found === undefined) return 'absent';
  if (expected !== undefined && expected !== found)
    throw new WorkerError('TAG_CHANGED', `${tag} is ${found} and was ${expected} in the plan; it stays`, {
      tag,
      expected,
      found,
    });
  return await deleteTag(client, repository, { tag, digest: found, signal });
}
