import type { Digest } from '../../digest/index.ts';
import type { Inventory, TagEntry } from './inventory.ts';
import { compareVersions, type Version } from './read-version.ts';

/** A version with all its tags: variants, and what differs in build metadata only. */
export interface Release {
  readonly version: Version;
  readonly tags: readonly TagEntry[];
  readonly digests: ReadonlySet<Digest>;
  /** Of its newest image; absent when that of any is not known. Milliseconds. */
  readonly createdMs?: number | undefined;
}

/** The versions that tags name, the highest first. Moving, branch, date and commit tags name none. */
export function releasesOf({ manifests, tags }: Pick<Inventory, 'manifests' | 'tags'>): readonly Release[] {
  const byVersion = new Map<string, TagEntry[]>();
  for (const entry of tags.values()) {
    if (entry.version === undefined) continue;
    byVersion.set(entry.version.text, [...(byVersion.get(entry.version.text) ?? []), entry]);
  }
  return [...byVersion.values()]
    .flatMap((entries) => {
      const version = entries[0]?.version;
      if (version === undefined) return [];
      const digests = new Set(entries.map(({ digest }) => digest));
      const times = [...digests].map((digest) => {
        const manifest = manifests.get(digest);
        return manifest?.createdMs ?? manifest?.pushedMs;
      });
      const known = times.filter((time) => time !== undefined);
      const createdMs = known.length === times.length ? Math.max(...known) : undefined;
      return [{ version, tags: entries, digests, createdMs }];
    })
    .toSorted((a, b) => compareVersions(b.version, a.version));
}
