import type { RepositoryStore } from '../../../src/release/index.ts';
import type { MemoryRepository } from './memory-repository.ts';

/**
 * Cleans a repository in memory as the hardest of registries does: a manifest goes with all its tags, and where none lists every
 * manifest a child goes with the last index that names it, unless a tag is on it or it was put by its digest behind that index.
 */
export function memoryStore(repository: MemoryRepository): RepositoryStore {
  const named = () => new Set([...repository.manifests.keys()].flatMap((digest) => repository.childrenOf(digest)));
  const children = named();
  const standing = new Set([...repository.manifests.keys()].filter((digest) => !children.has(digest)));
  const dropUnnamed = () => {
    for (let size = -1; size !== repository.manifests.size; ) {
      size = repository.manifests.size;
      const kept = new Set([...standing, ...repository.tags.values(), ...named()]);
      for (const digest of repository.manifests.keys()) if (!kept.has(digest)) repository.remove(digest);
    }
  };
  return {
    ...repository.reader(),
    deleteManifest: async (digest) => {
      const outcome = repository.manifests.has(digest) ? 'deleted' : 'absent';
      repository.remove(digest);
      standing.delete(digest);
      if (!repository.listsManifests) dropUnnamed();
      return await Promise.resolve(outcome);
    },
    deleteTag: async (tag, digest) => {
      // What lost a tag stands for itself.
      standing.add(digest);
      return await Promise.resolve(repository.tags.delete(tag) ? 'deleted' : 'absent');
    },
    putAgain: async (digest) => {
      if (repository.manifests.has(digest)) standing.add(digest);
      await Promise.resolve();
    },
  };
}
