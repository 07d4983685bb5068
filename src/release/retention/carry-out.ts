import type { Digest } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { Inventory } from '../inventory/index.ts';
import { Belongings } from './belongings.ts';
import type { Deletion } from './plan.ts';
import type { RepositoryStore } from './repository-store.ts';

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
 * now. Stops at the first error (which says how far it came), and with TAG_CHANGED when something new came that the plan knows nothing of.
 */
export async function carryOut(
  deletions: readonly Deletion[],
  inventory: Inventory,
  store: RepositoryStore,
  { onDeletion, signal }: CarryOutOptions,
): Promise<CarriedOut> {
  const look = new SecondLook(inventory, store);
  const deleted: Deletion[] = [];
  const absent: Deletion[] = [];
  const skipped: (Deletion & { because: string })[] = [];
  for (const deletion of deletions) {
    signal.throwIfAborted();
    try {
      const because = await look.whyNot(deletion, { signal });
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

/** What changed since the inventory. */
class SecondLook {
  readonly #inventory: Inventory;
  readonly #store: RepositoryStore;
  readonly #belongings: Belongings;
  readonly #spared = new Map<Digest, string>();
  /** Tags as they are known now. */
  readonly #tags: Map<string, Digest>;

  constructor(inventory: Inventory, store: RepositoryStore) {
    this.#inventory = inventory;
    this.#store = store;
    this.#belongings = new Belongings(inventory);
    this.#tags = new Map([...inventory.tags].map(([tag, { digest }]) => [tag, digest]));
  }

  async whyNot(deletion: Deletion, { signal }: Cancelable): Promise<string | undefined> {
    if (deletion.kind === 'tag') {
      const now = await this.#store.headTag(deletion.tag, { signal });
      // One that is gone is deleted again: the answer says so, and a mark that took its place is unknown to the plan anyway.
      if (now === undefined || now === deletion.digest) return undefined;
      return `${deletion.tag} names ${now} since the plan`;
    }
    const names = await this.#store.listTags({ signal });
    for (const tag of names) if (this.#mayHaveMoved(tag, deletion)) await this.#lookAt(tag, { signal });
    return this.#spared.get(deletion.digest);
  }

  went(deletion: Deletion): void {
    for (const tag of deletion.kind === 'tag' ? [deletion.tag] : deletion.tags) this.#tags.delete(tag);
  }

  /** New ones, those that are about to go, and those that move as a rule; of the others nobody expects it. */
  #mayHaveMoved(tag: string, deletion: Extract<Deletion, { kind: 'manifest' }>): boolean {
    const kind = this.#inventory.tags.get(tag)?.kind;
    if (!this.#tags.has(tag) || deletion.tags.includes(tag)) return true;
    return deletion.tags.length > 0 && (kind === 'moving' || kind === 'branch');
  }

  async #lookAt(tag: string, { signal }: Cancelable): Promise<void> {
    const before = this.#tags.get(tag);
    const now = await this.#store.headTag(tag, { signal });
    if (now === before) return;
    if (now !== undefined && !this.#inventory.manifests.has(now))
      throw new WorkerError(
        'TAG_CHANGED',
        `${tag} names ${now}, which came since the plan was made; nobody knows what that needs`,
        { tag, digest: now },
      );
    const moved = [before, now].filter((digest) => digest !== undefined);
    for (const digest of this.#belongings.closure(moved).keys())
      this.#spared.set(digest, `the tag ${tag} changed since the plan`);
    if (now === undefined) this.#tags.delete(tag);
    else this.#tags.set(tag, now);
  }
}
