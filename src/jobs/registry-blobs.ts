import type { Digest, Expected } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { RegistryClient, Repository } from '../registry/index.ts';

/** Whether the registry that an image goes to has a blob already, so that its bytes are not needed here. */
export type BlobLookup = (blob: Expected) => Promise<boolean>;

/** Asks a repository, each blob once. A blob of another size is none. */
export function blobLookup(
  client: Pick<RegistryClient, 'headBlob'>,
  target: Repository,
  { signal }: Cancelable,
): BlobLookup {
  const answers = new Map<Digest, Promise<number | undefined>>();
  return async ({ digest, sizeBytes }) => {
    const answer = answers.get(digest) ?? client.headBlob(target, digest, { signal }).then((found) => found?.sizeBytes);
    answers.set(digest, answer);
    return (await answer) === sizeBytes;
  };
}
