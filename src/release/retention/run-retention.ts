import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import { type Inventory, readInventory } from '../inventory/index.ts';
import type { RepositoryLock } from '../retag/index.ts';
import { BegunDeletions } from './begun.ts';
import { type CarriedOut, carryOut } from './carry-out.ts';
import { checkPlan } from './check-plan.ts';
import { type PinnedDigests, pinnedDigests } from './pinned-digests.ts';
import type { Deletion, RetentionPlan } from './plan.ts';
import { planRetention } from './plan-retention.ts';
import type { RetentionPolicy } from './policy.ts';
import type { RepositoryStore } from './repository-store.ts';
import type { RetentionRules } from './rules.ts';
import { requireRelated, requireThere } from './store-checks.ts';

export type RetentionEvent =
  | { readonly type: 'reading'; readonly tags: number; readonly manifests: number }
  | { readonly type: 'planned'; readonly deletions: number; readonly keeps: number }
  | { readonly type: 'deletion'; readonly deletion: Deletion; readonly outcome: 'deleted' | 'absent' | 'skipped' };

export interface RetentionContext extends Cancelable {
  readonly store: RepositoryStore;
  /** Object stores whose images must stay mountable. */
  readonly objectStores: readonly ObjectStore[];
  /** Nothing is deleted once its signal has ended. */
  readonly lock: RepositoryLock;
  /** Remembers what was begun. */
  readonly stateDirectory: string;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly onEvent?: (event: RetentionEvent) => void;
}

export interface RetentionResult extends CarriedOut {
  readonly repository: string;
  readonly dryRun: boolean;
  readonly plan: RetentionPlan;
}

/**
 * Reads, plans, checks, and unless it is a dry run deletes. Throws INVENTORY_INCOMPLETE when a part could not be read,
 * RETENTION_STORE_UNRELATED when a store may be the wrong one, RETENTION_PLAN_UNSAFE when the checker disagrees, and whatever the store or the registry fails with; of these only what happens
 * while it deletes leaves something deleted.
 */
export async function runRetention(
  policy: RetentionPolicy,
  { dryRun }: { readonly dryRun: boolean },
  context: RetentionContext,
): Promise<RetentionResult> {
  const { lock, objectStores, onEvent, stateDirectory, store } = context;
  const { registry, repository } = store.repository;
  const begun = new BegunDeletions(stateDirectory, store.repository);
  // Before the lock: it would be written into a store that is not there.
  for (const each of objectStores) await requireThere(each, { signal: context.signal });
  // A dry run writes nothing, not even a lock.
  await using held = dryRun ? undefined : await lock.hold(store.repository, { signal: context.signal });
  const signal = held?.signal ?? context.signal;
  const { inventory, plan } = await prepare(policy, await begun.read(), { ...context, signal });
  onEvent?.({ type: 'planned', deletions: plan.deletions.length, keeps: plan.keeps.length });
  const result = { repository: `${registry}/${repository}`, dryRun, plan };
  if (dryRun) return { ...result, deleted: [], absent: [], skipped: [] };
  const digests = plan.deletions.flatMap((each) => (each.kind === 'manifest' ? [each.digest] : []));
  if (digests.length > 0) await begun.write(digests, { signal });
  const carried = await carryOut(plan.deletions, inventory, store, {
    signal,
    onDeletion: (deletion, outcome) => onEvent?.({ type: 'deletion', deletion, outcome }),
  });
  await begun.clear();
  return { ...result, ...carried };
}

async function prepare(
  policy: RetentionPolicy,
  begun: RetentionRules['begun'],
  { nowMs, objectStores, onEvent, signal, store }: RetentionContext,
): Promise<{ readonly inventory: Inventory; readonly plan: RetentionPlan }> {
  const pins = new Map<ObjectStore, PinnedDigests>();
  for (const each of objectStores) pins.set(each, await pinnedDigests(each, { signal }));
  const pinned = new Map([...pins.values()].flatMap((each) => [...each]));
  const rules: RetentionRules = { ...policy, pinned, begun, nowMs };
  const inventory = await readInventory(store, {
    signal,
    variants: policy.variants,
    alsoLookAt: [...policy.protect, ...pinned.keys(), ...begun],
    onProgress: (progress) => onEvent?.({ type: 'reading', ...progress }),
  });
  requireComplete(inventory);
  const plan = planRetention(inventory, rules);
  if (plan.deletions.length > 0 && !policy.storeIsEmpty) requireRelated(pins, inventory, plan);
  const wrong = checkPlan(inventory, rules, plan);
  if (wrong.length > 0)
    throw new WorkerError(
      'RETENTION_PLAN_UNSAFE',
      `the plan and its check disagree, nothing was deleted: ${wrong.slice(0, 3).join('; ')}`,
      { disagreements: wrong.length },
    );
  return { inventory, plan };
}

function requireComplete({ problems, repository }: Inventory): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new WorkerError(
    'INVENTORY_INCOMPLETE',
    `${repository.registry}/${repository.repository}: ${problems.length} parts could not be read, nothing was deleted; the first: ${first.message}`,
    { problems: problems.length, part: first.part, name: first.name, code: first.code },
  );
}
