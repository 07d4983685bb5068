import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { Inventory } from '../inventory/index.ts';
import { OwnPlaces } from './own-places.ts';
import type { Deletion } from './plan.ts';
import type { RepositoryStore } from './repository-store.ts';
import { SecondLook } from './second-look.ts';

export interface CarriedOut {
  readonly deleted: readonly Deletion[];
  /** What the repository no longer had. */
  readonly absent: readonly Deletion[];
  /** What changed since the plan, and what belongs to that. */
  readonly skipped: readonly (Deletion & { readonly because: string })[];
}

export interface CarryOutOptions extends Cancelable {
  readonly onDeletion?: (deletion: Deletion, outcome: 'deleted' | 'absent' | 'skipped') => void;
}

/**
 * Deletes in the order of the plan, and looks again right before each: a tag that moved since spares what it left and what it names
 * now. What stays of an index that goes gets a place of its own before. Stops at the first error (which says how far it came), and
 * with TAG_CHANGED when something new came that the plan knows nothing of.
 */
export async function carryOut(
  deletions: readonly Deletion[],
  inventory: Inventory,
  store: RepositoryStore,
  { onDeletion, signal }: CarryOutOptions,
): Promise<CarriedOut> {
  const look = new SecondLook(inventory, store, deletions);
  const places = new OwnPlaces(inventory, store, look);
  const deleted: Deletion[] = [];
  const absent: Deletion[] = [];
  const skipped: (Deletion & { because: string })[] = [];
  for (const deletion of deletions) {
    signal.throwIfAborted();
    try {
      let because = await look.whyNot(deletion, { signal });
      // That took its time: nothing is deleted by an old look.
      while (because === undefined && (await places.giveBefore(deletion, { signal })))
        because = await look.whyNot(deletion, { signal });
      if (because !== undefined) {
        skipped.push({ ...deletion, because });
        onDeletion?.(deletion, 'skipped');
        continue;
      }
      const outcome =
        deletion.kind === 'tag'
          ? await store.deleteTag(deletion.tag, deletion.digest, { signal })
          : await store.deleteManifest(deletion.digest, { signal });
      (outcome === 'deleted' ? deleted : absent).push(deletion);
      look.went(deletion);
      onDeletion?.(deletion, outcome);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toWorkerError(thrown, 'retention');
      const left = deletions.length - deleted.length - absent.length - skipped.length;
      throw new WorkerError(
        error.code,
        `retention stopped after ${deleted.length} of ${deletions.length} deletions, ${left} are left: ${error.message}`,
        { ...error.details, deleted: deleted.length, left },
        { cause: thrown },
      );
    }
  }
  return { deleted, absent, skipped };
}
