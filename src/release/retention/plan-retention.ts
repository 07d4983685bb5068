import type { Digest } from '../../digest/index.ts';
import type { Inventory, ManifestEntry } from '../inventory/index.ts';
import { isMark } from '../retag/index.ts';
import { Belongings } from './belongings.ts';
import { type ExpiredTags, expiredTags } from './expired-tags.ts';
import type { Deletion, Keep, RetentionPlan } from './plan.ts';
import type { RetentionRules } from './rules.ts';

/**
 * What goes and what stays, with reasons. Live is what a kept tag, a protected digest, a store's object or the grace period keeps,
 * with children, referrers and digest tags of all that; the rest goes. Pure. The inventory must be complete.
 */
export function planRetention(inventory: Inventory, rules: RetentionRules): RetentionPlan {
  const belongings = new Belongings(inventory);
  const expiry = expiredTags(inventory, rules);
  const roots = keptRoots(inventory, rules, expiry);
  for (const [digest, reason] of untaggedRoots(inventory, rules, { belongings, expiry, roots }))
    if (!roots.has(digest)) roots.set(digest, reason);
  const live = belongings.closure(roots.keys());
  const garbage = new Set([...inventory.manifests.keys()].filter((digest) => !live.has(digest)));
  const tagsOn = tagsByDigest(inventory);
  const keeps: Keep[] = [];
  for (const [digest, by] of live) {
    if (!inventory.manifests.has(digest)) continue;
    const tags = (tagsOn.get(digest) ?? []).filter((tag) => !expiry.tags.has(tag));
    keeps.push({ digest, tags, reason: roots.get(digest) ?? `${by?.as ?? 'part'} of ${by?.owner ?? digest}` });
  }
  return {
    deletions: [
      ...tagDeletions(expiry, inventory, garbage),
      ...manifestDeletions(garbage, { belongings, expiry, inventory }),
    ],
    keeps,
    keptReleases: expiry.kept.map(({ version }) => version.text),
    expiredReleases: expiry.expired.map(({ version }) => version.text),
  };
}

/** What is kept by itself. Digest tags are not: they stay and go with what they belong to. */
function keptRoots({ tags }: Inventory, { pinned, protect }: RetentionRules, expiry: ExpiredTags): Map<Digest, string> {
  const roots = new Map<Digest, string>();
  const add = (digest: Digest, reason: string) => {
    if (!roots.has(digest)) roots.set(digest, reason);
  };
  for (const { digest, kind, tag, version } of tags.values()) {
    if (kind === 'digest' || expiry.tags.has(tag)) continue;
    const because = version === undefined ? undefined : expiry.keptBecause.get(version.text);
    add(digest, because === undefined ? `tag ${tag} (${kind})` : `tag ${tag}: ${because}`);
  }
  for (const digest of protect) add(digest, 'protected');
  for (const [digest, key] of pinned) add(digest, `named by ${key}`);
  return roots;
}

/**
 * What nothing keeps and no expired tag led to: it may be the beginning of a push, so it stays while it is young, or while nobody
 * knows how old it is. What belongs to something older goes with that, unless it is known to be young itself. Where untagged
 * manifests are not listed it stays in any case: an index that cannot be seen may need it. A mark that took a removed tag's place is no
 * beginning of anything.
 */
function untaggedRoots(
  { manifests, seesUntagged, tags }: Inventory,
  { begun, graceMs, nowMs }: RetentionRules,
  { belongings, expiry, roots }: { belongings: Belongings; expiry: ExpiredTags; roots: ReadonlyMap<Digest, string> },
): ReadonlyMap<Digest, string> {
  const live = belongings.closure(roots.keys());
  const expiredDigests = [...tags.values()].filter(({ tag }) => expiry.tags.has(tag)).map(({ digest }) => digest);
  const accounted = belongings.closure([...expiredDigests, ...begun]);
  const strays = [...manifests.values()].filter(({ digest }) => !live.has(digest) && !accounted.has(digest));
  if (!seesUntagged)
    return new Map(
      strays.map(({ digest }) => [digest, 'untagged, and the registry does not list what else may need it']),
    );
  const among = new Set(strays.map(({ digest }) => digest));
  const owned = new Set(
    strays.flatMap(({ digest }) =>
      belongings.of(digest).flatMap((each) => (each.digest !== digest && among.has(each.digest) ? [each.digest] : [])),
    ),
  );
  const tops = strays.filter(({ digest }) => !owned.has(digest));
  const below = belongings.closure(tops.map(({ digest }) => digest));
  const found = new Map<Digest, string>();
  for (const stray of strays) {
    if (isMark(stray)) continue;
    const ageMs = ageOf(stray, nowMs);
    const mayBeUnknown = owned.has(stray.digest) && below.has(stray.digest);
    if (ageMs === undefined && !mayBeUnknown) found.set(stray.digest, 'untagged, and nobody knows for how long');
    else if (ageMs !== undefined && ageMs < graceMs)
      found.set(stray.digest, 'untagged, and younger than the grace period');
  }
  return found;
}

/** Of two times the later one counts. */
function ageOf({ createdMs, pushedMs }: ManifestEntry, nowMs: number): number | undefined {
  const known = [createdMs, pushedMs].filter((time) => time !== undefined);
  return known.length === 0 ? undefined : nowMs - Math.max(...known);
}

/** An expired tag on a manifest that stays: the tag goes alone. */
function tagDeletions({ tags }: ExpiredTags, inventory: Inventory, garbage: ReadonlySet<Digest>): readonly Deletion[] {
  return [...tags]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([tag, reason]) => {
      const digest = inventory.tags.get(tag)?.digest;
      if (digest === undefined || garbage.has(digest)) return [];
      return [{ kind: 'tag', tag, digest, reason: `${reason}; what it names stays` }];
    });
}

function manifestDeletions(
  garbage: ReadonlySet<Digest>,
  { belongings, expiry, inventory }: { belongings: Belongings; expiry: ExpiredTags; inventory: Inventory },
): readonly Deletion[] {
  const tagsOn = tagsByDigest(inventory);
  const owners = ownersOf(garbage, belongings);
  return belongings.ownersFirst(garbage).map((digest) => {
    const tags = tagsOn.get(digest) ?? [];
    const expired = tags.flatMap((tag) => expiry.tags.get(tag) ?? [])[0];
    const owner = owners.get(digest);
    const reason =
      expired ??
      (owner === undefined ? 'untagged, and nothing names it' : `${owner.as} of ${owner.digest}, which goes`);
    return { kind: 'manifest', digest, tags, reason: `${reason}; nothing that is kept reaches it` };
  });
}

function ownersOf(
  garbage: ReadonlySet<Digest>,
  belongings: Belongings,
): ReadonlyMap<Digest, { readonly digest: Digest; readonly as: string }> {
  const owners = new Map<Digest, { digest: Digest; as: string }>();
  for (const owner of garbage)
    for (const { as, digest } of belongings.of(owner))
      if (!owners.has(digest) && digest !== owner) owners.set(digest, { digest: owner, as });
  return owners;
}

function tagsByDigest({ tags }: Inventory): ReadonlyMap<Digest, readonly string[]> {
  const by = new Map<Digest, string[]>();
  for (const { digest, tag } of tags.values()) by.set(digest, [...(by.get(digest) ?? []), tag]);
  return by;
}
