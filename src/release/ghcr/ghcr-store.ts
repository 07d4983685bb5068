import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { deleteByMark } from '../retag/index.ts';
import { type RepositoryStore, registryStore } from '../retention/index.ts';
import { PackageVersions } from './package-versions.ts';
import { PackagesApi, type PackagesApiOptions } from './packages-api.ts';

export interface GhcrStore extends RepositoryStore, AsyncDisposable {
  /** When manifests were pushed: milliseconds, as far as GitHub tells. Throws REGISTRY_…. */
  pushTimes(digests: Iterable<Digest>, options: Cancelable): Promise<ReadonlyMap<Digest, number>>;
}

/**
 * A repository of GHCR: read through the registry API, listed and deleted through the packages API, which sees untagged manifests
 * and is the only one that deletes. Dispose of it to close its connections.
 */
export function ghcrStore(client: RegistryClient, repository: Repository, options: PackagesApiOptions): GhcrStore {
  const api = new PackagesApi(options);
  const versions = new PackageVersions(api, repository);
  const deletePushed = async (digest: Digest, { signal }: Cancelable) =>
    await versions.deletePushed(digest, { signal });
  return {
    ...registryStore(client, repository),
    listManifests: ({ signal }) => versions.list({ signal }),
    pushTimes: (digests, { signal }) => versions.pushTimes(digests, { signal }),
    deleteManifest: async (digest, { signal }) => await versions.delete(digest, { signal }),
    // The packages API knows no deletion of a tag: a version goes with all of its tags.
    deleteTag: (tag, digest, { signal }) =>
      deleteByMark(client, repository, { tag, digest, signal, deleteManifest: deletePushed }),
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}
