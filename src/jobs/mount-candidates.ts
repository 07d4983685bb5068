import { parseReference } from '../registry/index.ts';

/**
 * Repositories of the target's registry that the build's base images came from: their layers are there, so that a
 * cross-repository mount (distribution-spec 1.1, "Mounting a blob from another repository") saves sending them.
 */
export function mountCandidates(baseReferences: readonly string[], registry: string): readonly string[] {
  const repositories = baseReferences.flatMap((text) => {
    try {
      const reference = parseReference(text);
      return reference.registry === registry ? [reference.repository] : [];
    } catch {
      return []; // a stage name, or a reference that only BuildKit understands
    }
  });
  return [...new Set(repositories)];
}
