import type { Digest } from '../../digest/index.ts';
import { compareVersions, type Inventory, type Release, releasesOf } from '../inventory/index.ts';
import { isRemovedTagMark } from '../retag/index.ts';
import type { RetentionRules } from './rules.ts';

export interface ExpiredTags {
  /** Tags that go, with the reason. */
  readonly tags: ReadonlyMap<string, string>;
  readonly kept: readonly Release[];
  readonly expired: readonly Release[];
  /** By version: why a kept release is kept. */
  readonly keptBecause: ReadonlyMap<string, string>;
}

type Rules = Pick<RetentionRules, 'keep' | 'order' | 'withCommitTags'>;

/** A release, or a prerelease, goes when `keep` releases are newer. The highest release never does. */
export function expiredTags(inventory: Inventory, rules: Rules): ExpiredTags {
  const releases = releasesOf(inventory).toSorted((a, b) => newerFirst(a, b, rules.order));
  const keptBecause = new Map<string, string>();
  const expired: Release[] = [];
  for (const release of releases) {
    const why = whyKept(release, releases, rules);
    if (why === undefined) expired.push(release);
    else keptBecause.set(release.version.text, why);
  }
  const tags = new Map<string, string>();
  for (const { tags: entries, version } of expired)
    for (const { tag } of entries)
      tags.set(tag, `${kindOf(version.released)} ${version.text}: ${rules.keep} releases are newer`);
  for (const { digest, tag } of inventory.tags.values())
    if (isRemovedTagMark(inventory.manifests.get(digest), tag)) tags.set(tag, 'its removal was begun before');
  const kept = releases.filter((release) => !expired.includes(release));
  if (rules.withCommitTags) addCommitTags(inventory, tags, { expired, kept });
  return { tags, kept, expired, keptBecause };
}

function whyKept(release: Release, all: readonly Release[], { keep, order }: Rules): string | undefined {
  const released = all.filter(({ version }) => version.released);
  const highest = released.toSorted((a, b) => compareVersions(b.version, a.version))[0];
  const name = `${kindOf(release.version.released)} ${release.version.text}`;
  if (release === highest) return `${name}, the highest`;
  if (order === 'created' && release.createdMs === undefined)
    return `${name}, of which nobody knows when it was made (--order version does without)`;
  const newer = released.filter((other) => isNewer(other, release, order)).length;
  return newer >= keep ? undefined : `${name}, ${newer === 0 ? 'none is' : `${newer} are`} newer`;
}

function isNewer(a: Release, b: Release, order: Rules['order']): boolean {
  if (a === b || (order === 'created' && a.createdMs === undefined)) return false;
  return newerFirst(a, b, order) < 0;
}

/** Equal times are no order: then the version decides. */
function newerFirst(a: Release, b: Release, order: Rules['order']): number {
  const byTime = order === 'created' ? (b.createdMs ?? 0) - (a.createdMs ?? 0) : 0;
  return byTime || compareVersions(b.version, a.version);
}

function addCommitTags(
  { tags: all }: Inventory,
  tags: Map<string, string>,
  { expired, kept }: { readonly expired: readonly Release[]; readonly kept: readonly Release[] },
): void {
  const stays = new Set<Digest>(kept.flatMap(({ digests }) => [...digests]));
  for (const { digests, version } of expired)
    for (const { digest, kind, tag } of all.values())
      if (kind === 'commit' && digests.has(digest) && !stays.has(digest))
        tags.set(tag, `commit of the expired ${kindOf(version.released)} ${version.text}`);
}

function kindOf(released: boolean): string {
  return released ? 'release' : 'prerelease';
}
