import { formatReference, parseReference } from '../registry/index.ts';

/**
 * One rule about what a build may read. Of all rules that match a source the last says whether it is allowed; the first
 * that converts it replaces it, and the rules are asked about what it became (BuildKit sourcepolicy/engine.go). Sources are
 * `docker-image://docker.io/library/debian:12`, `https://…`, `git://…`, `local://context`.
 */
export type SourceRule =
  | {
      readonly action: 'allow' | 'deny';
      /** With `*` for any text, or an expression of Go's regexp. */
      readonly sources: string | { readonly pattern: string };
    }
  | { readonly action: 'convert'; readonly source: string; readonly to: string };

/**
 * Holds images that are named by a tag to the digests that were found for them; `docker.io/library/debian:12` in whatever form it is
 * written. A reference with a digest of its own, or without one that was found, stays as it is.
 */
export function pinRules(digests: Readonly<Record<string, string | undefined>>): readonly SourceRule[] {
  return Object.entries(digests).flatMap(([text, found]) => {
    const { digest, registry, repository, tag = 'latest' } = parseReference(text);
    if (found === undefined || digest !== undefined) return [];
    const source = `docker-image://${formatReference({ registry, repository, tag })}`;
    return [{ action: 'convert', source, to: `${source}@${found}` } as const];
  });
}
