import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';

/** One repository, as a release sees it. Each call is one request (and its retries), or a few where pages follow. */
export interface ReleaseRegistry {
  /** HEAD: what a tag names; undefined only when the registry says that it is absent. Throws where that is not known. */
  find(tag: string, options: Cancelable): Promise<Digest | undefined>;
  /** The manifest's raw bytes, checked against the digest. */
  fetch(digest: Digest, options: Cancelable): Promise<FetchedManifest>;
  /** Puts these very bytes under a tag. */
  put(tag: string, manifest: FetchedManifest, options: Cancelable): Promise<void>;
  /** All tags. Throws when the list may be incomplete. */
  tags(options: Cancelable): Promise<readonly string[]>;
  /** Removes the tag alone, never the manifest behind it. Throws where the registry cannot. */
  removeTag(tag: string, options: Cancelable): Promise<void>;
}

/** Whether an image is there: absent is known only from the registry's own word (404), never from a failure. */
export type Lookup =
  | { readonly state: 'present'; readonly digest: Digest }
  | { readonly state: 'absent' }
  | { readonly state: 'unknown'; readonly error: WorkerError };

/** A client as the port to one repository. */
export function releaseRegistry(client: RegistryClient, repository: Repository): ReleaseRegistry {
  return {
    find: async (tag, options) => (await client.headManifest(repository, tag, options))?.digest,
    fetch: (digest, options) => client.getManifest(repository, digest, options),
    put: async (tag, { bytes, mediaType }, options) => {
      await client.putManifest(repository, tag, bytes, mediaType, options);
    },
    tags: (options) => client.listTags(repository, options),
    removeTag: () => Promise.reject(new WorkerError('REGISTRY_REFUSED', 'the registry client removes no tags')),
  };
}

/** Tri-state. What failed for our own sake (stopped, a fault of ours) is thrown. */
export async function lookUp(registry: ReleaseRegistry, tag: string, { signal }: Cancelable): Promise<Lookup> {
  try {
    const digest = await registry.find(tag, { signal });
    return digest === undefined ? { state: 'absent' } : { state: 'present', digest };
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof WorkerError)) throw thrown;
    return { state: 'unknown', error: thrown };
  }
}
