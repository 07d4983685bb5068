import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { Descriptor } from '../../oci/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import type { RepositoryReader } from './repository-reader.ts';

/** Far above what a repository has; one with more is refused instead of cut. */
const MAX_TAGS = 1_000_000;

export interface RegistryReaderOptions {
  /** The referrers API of the registry; none by default, then there are digest tags only. */
  readonly listReferrers?: (
    repository: Repository,
    digest: Digest,
    options: Cancelable,
  ) => Promise<readonly Descriptor[]>;
}

/** Reads a repository through the distribution API. */
export function registryReader(
  client: Pick<RegistryClient, 'getBlobStream' | 'getManifest' | 'headManifest' | 'listTags'>,
  repository: Repository,
  { listReferrers }: RegistryReaderOptions = {},
): RepositoryReader {
  return {
    repository,
    async listTags({ signal }) {
      const tags = await client.listTags(repository, { signal, maxTags: MAX_TAGS + 1 });
      if (tags.length > MAX_TAGS)
        throw new WorkerError('LIMIT_EXCEEDED', `${repository.repository} has more than ${MAX_TAGS} tags`);
      return tags;
    },
    headTag: async (tag, { signal }) => (await client.headManifest(repository, tag, { signal }))?.digest,
    readManifest: async (digest, { signal }) =>
      await presentOrUndefined(() => client.getManifest(repository, digest, { signal })),
    readBlob: async (digest, maxBytes, { signal }) =>
      await presentOrUndefined(async () => {
        const parts: Uint8Array[] = [];
        let sizeBytes = 0;
        for await (const part of await client.getBlobStream(repository, digest, { signal })) {
          const bytes = part as Uint8Array;
          sizeBytes += bytes.length;
          if (sizeBytes > maxBytes)
            throw new WorkerError('LIMIT_EXCEEDED', `${digest}: more than ${maxBytes} bytes`, { digest });
          parts.push(bytes);
        }
        return Buffer.concat(parts);
      }),
    listReferrers: async (digest, { signal }) => (await listReferrers?.(repository, digest, { signal })) ?? [],
  };
}

async function presentOrUndefined<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_NOT_FOUND') return undefined;
    throw thrown;
  }
}
