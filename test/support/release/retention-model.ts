import type { Digest } from '../../../src/digest/index.ts';
import {
  carryOut,
  checkPlan,
  type Inventory,
  planRetention,
  type RetentionPlan,
  type RetentionRules,
  readInventory,
} from '../../../src/release/index.ts';
import type { MemoryRepository } from './memory-repository.ts';
import { memoryStore } from './memory-store.ts';
import { randomRegistry, seeded } from './random-registry.ts';

const { signal } = new AbortController();

export interface ModelResult {
  readonly deleted: number;
  readonly kept: number;
  /** Wrong plans that were put before the checker. */
  readonly forged: number;
}

/** Cleans one random registry and looks at it by other means than the planner's. Throws what is wrong, with the seed. */
export async function checkRandomRegistry(seed: number): Promise<ModelResult> {
  const { repository, rules } = randomRegistry(seed);
  const alsoLookAt = [...rules.protect, ...rules.pinned.keys(), ...rules.begun];
  const before = await readInventory(repository.reader(), { signal, alsoLookAt });
  const say = (what: string) => new Error(`registry ${seed}: ${what}`);
  if (before.problems.length > 0) throw say(`${before.problems.length} problems`);
  if (repository.listsManifests && repository.manifests.size !== before.manifests.size) throw say('not all is seen');
  const plan = planRetention(before, rules);
  const [wrong] = checkPlan(before, rules, plan);
  if (wrong !== undefined) throw say(`the checker disagrees: ${wrong}`);
  const forged = forgeries(before, plan, seed);
  for (const forgery of forged)
    if (checkPlan(before, rules, forgery).length === 0)
      throw say(`the checker takes ${JSON.stringify(forgery.deletions.at(-1))}`);

  const needed = needs(repository, before, plan, rules);
  await carryOut(plan.deletions, before, memoryStore(repository), { signal });
  for (const digest of needed) if (!repository.manifests.has(digest)) throw say(`${digest} is lost`);
  const after = await readInventory(repository.reader(), { signal, alsoLookAt });
  for (const digest of after.seesUntagged ? leftovers(after, rules) : expiredLeft(before, after, needed))
    throw say(`${digest} is garbage and was not found`);
  const again = planRetention(after, { ...rules, begun: new Set() }).deletions[0];
  if (again !== undefined) throw say(`a second run deletes ${JSON.stringify(again)}`);
  return { deleted: plan.deletions.length, kept: plan.keeps.length, forged: forged.length };
}

/** Where untagged manifests are not listed: what the tags that went led to, and is needed by nothing that can be seen. */
function expiredLeft(before: Inventory, after: Inventory, needed: ReadonlySet<Digest>): readonly Digest[] {
  const went = [...before.tags.values()].filter(({ kind, tag }) => kind !== 'digest' && !after.tags.has(tag));
  const expired = spread(before, new Set(went.map(({ digest }) => digest)));
  const strays = [...before.manifests.keys()].filter((digest) => !needed.has(digest) && !expired.has(digest));
  const stays = spread(before, new Set([...needed, ...strays]));
  return [...expired].filter((digest) => !stays.has(digest) && after.manifests.has(digest));
}

/** Plans that delete one thing too much. */
function forgeries(inventory: Inventory, plan: RetentionPlan, seed: number): readonly RetentionPlan[] {
  const chance = seeded(seed ^ 0x5bd1e995);
  const some = <T>(items: readonly T[]) => items.filter(() => chance(4) === 0);
  const tagsOn = (digest: Digest) =>
    [...inventory.tags.values()].flatMap((entry) => (entry.digest === digest ? [entry.tag] : []));
  const manifests = some(plan.keeps).map(({ digest }) => ({
    kind: 'manifest' as const,
    digest,
    tags: tagsOn(digest),
    reason: 'forged',
  }));
  const goneTags = new Set(plan.deletions.flatMap((each) => (each.kind === 'tag' ? [each.tag] : each.tags)));
  const tags = some(
    [...inventory.tags.values()].filter(({ kind, tag }) => !goneTags.has(tag) && kind !== 'digest'),
  ).map(({ digest, tag }) => ({ kind: 'tag' as const, tag, digest, reason: 'forged' }));
  return [...manifests, ...tags].map((extra) => ({ ...plan, deletions: [...plan.deletions, extra] }));
}

/** What kept tags and pins reach, by the documents in the repository alone, again and again until nothing is added. */
function needs(
  repository: MemoryRepository,
  inventory: Inventory,
  { deletions }: RetentionPlan,
  { pinned, protect }: RetentionRules,
): ReadonlySet<Digest> {
  const goneTags = new Set(deletions.flatMap((each) => (each.kind === 'tag' ? [each.tag] : each.tags)));
  const needed = new Set<Digest>([...protect, ...pinned.keys()]);
  for (const { digest, kind, tag } of inventory.tags.values())
    if (kind !== 'digest' && !goneTags.has(tag)) needed.add(digest);
  for (let size = -1; size !== needed.size; ) {
    size = needed.size;
    for (const [digest, { bytes }] of repository.manifests) {
      const { manifests = [], subject } = JSON.parse(Buffer.from(bytes).toString()) as {
        manifests?: { digest: Digest }[];
        subject?: { digest: Digest };
      };
      if (needed.has(digest)) for (const child of manifests) needed.add(child.digest);
      // Without the referrers API only what can be seen counts.
      if (subject !== undefined && needed.has(subject.digest) && inventory.manifests.has(digest)) needed.add(digest);
    }
    for (const [tag, digest] of repository.tags)
      if (/^sha256-/.test(tag) && needed.has(`sha256:${tag.slice(7, 71)}` as Digest)) needed.add(digest);
  }
  return new Set([...needed].filter((digest) => repository.manifests.has(digest)));
}

/** Whatever owns a manifest, one step up. */
function ownersOf({ manifests, tags }: Inventory, digest: Digest): readonly Digest[] {
  const subject = manifests.get(digest)?.subject;
  return [
    ...[...manifests.values()].flatMap((each) =>
      each.children.some((child) => child.digest === digest) ? [each.digest] : [],
    ),
    ...(subject === undefined ? [] : [subject]),
    ...[...tags.values()].flatMap((entry) =>
      entry.digest === digest && entry.subject !== undefined ? [entry.subject] : [],
    ),
  ];
}

/** What is owned by any of these, again and again until nothing is added. */
function spread(inventory: Inventory, start: ReadonlySet<Digest>): ReadonlySet<Digest> {
  const reached = new Set(start);
  // Also what is absent passes it on: a digest tag of an absent child belongs to it.
  const all = [...inventory.manifests.keys(), ...inventory.absent];
  const owners = new Map(all.map((digest) => [digest, ownersOf(inventory, digest)]));
  for (let size = -1; size !== reached.size; ) {
    size = reached.size;
    for (const [digest, above] of owners) if (above.some((owner) => reached.has(owner))) reached.add(digest);
  }
  return reached;
}

/** What is still there and neither named by anything that counts nor excused by its age. */
function leftovers(inventory: Inventory, { graceMs, nowMs, pinned, protect }: RetentionRules): readonly Digest[] {
  const named = [...inventory.tags.values()].filter(({ kind }) => kind !== 'digest').map(({ digest }) => digest);
  const live = spread(inventory, new Set([...protect, ...pinned.keys(), ...named]));
  const rest = [...inventory.manifests.values()].filter(({ digest }) => !live.has(digest));
  const isTop = (digest: Digest) =>
    !ownersOf(inventory, digest).some((owner) => owner !== digest && rest.some((each) => each.digest === owner));
  const belowTops = spread(inventory, new Set(rest.map(({ digest }) => digest).filter(isTop)));
  const excused = rest.filter(({ createdMs, digest, pushedMs }) => {
    const times = [createdMs, pushedMs].filter((ms) => ms !== undefined);
    if (times.length > 0) return nowMs - Math.max(...times) < graceMs;
    return isTop(digest) || !belowTops.has(digest);
  });
  const stays = spread(inventory, new Set(excused.map(({ digest }) => digest)));
  return rest.map(({ digest }) => digest).filter((digest) => !stays.has(digest));
}
