import semver from 'semver';
import type { Digest } from '../../digest/index.ts';
import type { Inventory, TagEntry } from '../inventory/index.ts';
import type { RetentionPlan } from './plan.ts';
import type { RetentionRules } from './rules.ts';

/**
 * Looks at a plan from the other side, and shares no code with the planner: plays the deletions on the inventory and asks of each
 * thing that goes who still needs it, climbing from it to its owners. Gives what is wrong, nothing when all is well.
 */
export function checkPlan(inventory: Inventory, rules: RetentionRules, plan: RetentionPlan): readonly string[] {
  const wrong: string[] = inventory.problems.map(({ message }) => `the inventory is not complete: ${message}`);
  const gone = new Set<Digest>();
  const goneTags = new Set<string>();
  for (const deletion of plan.deletions) {
    if (deletion.kind === 'tag') {
      if (inventory.tags.get(deletion.tag)?.digest !== deletion.digest) wrong.push(`no tag ${deletion.tag}`);
      if (goneTags.has(deletion.tag)) wrong.push(`${deletion.tag} is deleted twice`);
      goneTags.add(deletion.tag);
      continue;
    }
    if (!inventory.manifests.has(deletion.digest)) wrong.push(`no manifest ${deletion.digest}`);
    if (gone.has(deletion.digest)) wrong.push(`${deletion.digest} is deleted twice`);
    gone.add(deletion.digest);
    const onIt = [...inventory.tags.values()].filter(({ digest }) => digest === deletion.digest);
    for (const { tag } of onIt) {
      if (!deletion.tags.includes(tag)) wrong.push(`${tag} would go with ${deletion.digest} unsaid`);
      goneTags.add(tag);
    }
  }
  const world: World = { inventory, rules, gone, goneTags, owners: ownersIn(inventory) };
  for (const tag of goneTags) wrong.push(...wrongWithTag(tag, world));
  for (const digest of gone) wrong.push(...wrongWithManifest(digest, world));
  wrong.push(...wrongOrder(plan, world));
  return wrong;
}

interface World {
  readonly inventory: Inventory;
  readonly rules: RetentionRules;
  readonly gone: ReadonlySet<Digest>;
  readonly goneTags: ReadonlySet<string>;
  /** By what belongs to them: indexes of a child, the subject of a referrer, the subject of a digest tag's manifest. */
  readonly owners: ReadonlyMap<Digest, readonly Digest[]>;
}

function ownersIn({ manifests, tags }: Inventory): ReadonlyMap<Digest, readonly Digest[]> {
  const owners = new Map<Digest, Digest[]>();
  const add = (owned: Digest, owner: Digest) => {
    const known = owners.get(owned) ?? [];
    known.push(owner);
    owners.set(owned, known);
  };
  for (const manifest of manifests.values()) {
    for (const child of manifest.children) add(child.digest, manifest.digest);
    if (manifest.subject !== undefined) add(manifest.digest, manifest.subject);
  }
  for (const entry of tags.values()) if (entry.subject !== undefined) add(entry.digest, entry.subject);
  return owners;
}

/** A tag may go when its version did its time, when it belongs to what goes, or when its removal was begun. */
function wrongWithTag(tag: string, world: World): readonly string[] {
  const { gone, inventory, rules } = world;
  const entry = inventory.tags.get(tag);
  if (entry === undefined) return [`no tag ${tag}`];
  const manifest = inventory.manifests.get(entry.digest);
  if (manifest?.annotations['dev.clipyard.tag.removed'] === tag) return [];
  if (entry.version !== undefined) return wrongWithVersion(entry, world);
  if (entry.kind === 'digest') {
    const { subject } = entry;
    const stays = subject !== undefined && inventory.manifests.has(subject) && !gone.has(subject);
    return stays ? [`${tag} belongs to ${subject}, which stays`] : [];
  }
  const versions = [...inventory.tags.values()].filter(
    ({ digest, version }) => digest === entry.digest && version !== undefined,
  );
  const mayGo =
    entry.kind === 'commit' &&
    rules.withCommitTags &&
    versions.length > 0 &&
    versions.every((other) => world.goneTags.has(other.tag));
  return mayGo ? [] : [`${tag} is a ${entry.kind} tag and goes by no rule`];
}

function wrongWithVersion(entry: TagEntry, { goneTags, inventory, rules }: World): readonly string[] {
  const text = entry.version?.text ?? '';
  const all = [...inventory.tags.values()];
  const wrong: string[] = [];
  for (const other of all)
    if (other.version?.text === text && !goneTags.has(other.tag))
      wrong.push(`${entry.tag} goes and ${other.tag} of the same version stays`);
  const madeMs = new Map<string, number | undefined>();
  for (const { digest, version } of all) {
    if (version === undefined) continue;
    const manifest = inventory.manifests.get(digest);
    const ms = manifest?.createdMs ?? manifest?.pushedMs;
    const before = madeMs.has(version.text) ? madeMs.get(version.text) : Number.NEGATIVE_INFINITY;
    madeMs.set(version.text, ms === undefined || before === undefined ? undefined : Math.max(before, ms));
  }
  const released = [...madeMs.keys()].filter((each) => semver.prerelease(each) === null);
  const own = madeMs.get(text);
  if (rules.order === 'created' && own === undefined) wrong.push(`nobody knows when ${text} was made`);
  const newer = released.filter((other) => {
    const ms = madeMs.get(other);
    if (rules.order === 'version') return semver.gt(other, text);
    return ms !== undefined && own !== undefined && (ms > own || (ms === own && semver.gt(other, text)));
  });
  if (newer.length < rules.keep) wrong.push(`${text} goes and only ${newer.length} releases are newer`);
  if (semver.prerelease(text) === null && released.every((other) => semver.lte(other, text)))
    wrong.push(`${text} is the highest release`);
  return wrong;
}

/** Climbs to every owner: none may stay, and one of them, or it itself, must have a reason to go. */
function wrongWithManifest(digest: Digest, { gone, goneTags, inventory, owners, rules }: World): readonly string[] {
  const wrong: string[] = [];
  const above = climb(digest, owners, () => true);
  for (const at of above) {
    const name = at === digest ? digest : `${digest}, which belongs to ${at}:`;
    if (rules.protect.has(at)) wrong.push(`${name} is protected`);
    const key = rules.pinned.get(at);
    if (key !== undefined) wrong.push(`${name} is named by ${key}`);
    if (inventory.manifests.has(at) && !gone.has(at)) wrong.push(`${name} stays`);
    for (const entry of inventory.tags.values())
      if (entry.digest === at && !goneTags.has(entry.tag)) wrong.push(`${name} has the tag ${entry.tag}, which stays`);
  }
  const isAccounted = [...above].some(
    (at) =>
      rules.begun.has(at) ||
      [...inventory.tags.values()].some(
        (entry) => entry.digest === at && entry.kind !== 'digest' && goneTags.has(entry.tag),
      ),
  );
  if (isAccounted) return wrong;
  if (!inventory.seesUntagged) wrong.push(`${digest} is untagged, and what may need it cannot be seen`);
  if (inventory.manifests.get(digest)?.annotations['dev.clipyard.tag.removed'] !== undefined) return wrong;
  // No expired tag led here: it is old, or what it belongs to is. What is absent says nothing of the age of what it belonged to.
  const ages = [...climb(digest, owners, (at) => inventory.manifests.has(at))].flatMap((at) => {
    const manifest = inventory.manifests.get(at);
    const times = [manifest?.createdMs, manifest?.pushedMs].filter((ms) => ms !== undefined);
    return times.length === 0 ? [] : [{ at, ageMs: rules.nowMs - Math.max(...times) }];
  });
  const own = ages.find(({ at }) => at === digest);
  if (own !== undefined && own.ageMs < rules.graceMs) wrong.push(`${digest} is untagged and young`);
  if (!ages.some(({ ageMs }) => ageMs >= rules.graceMs)) wrong.push(`nobody knows how old the untagged ${digest} is`);
  return wrong;
}

/** A manifest with all its owners, through those that may be passed. */
function climb(digest: Digest, owners: World['owners'], mayPass: (at: Digest) => boolean): ReadonlySet<Digest> {
  const above = new Set<Digest>([digest]);
  for (const at of above) if (mayPass(at)) for (const owner of owners.get(at) ?? []) above.add(owner);
  return above;
}

/** Owners go before what belongs to them; only digest tags may make a circle. */
function wrongOrder({ deletions }: RetentionPlan, { inventory }: World): readonly string[] {
  const place = new Map(
    deletions.map(({ digest, kind }, at) => [kind === 'manifest' ? digest : `tag of ${digest}`, at]),
  );
  return [...place.keys()].flatMap((name) => {
    const manifest = inventory.manifests.get(name as Digest);
    const at = place.get(name) ?? 0;
    const late = (manifest?.children ?? []).filter(({ digest }) => (place.get(digest) ?? at) < at);
    return late.map(({ digest }) => `${digest} would go before its index ${name}`);
  });
}
