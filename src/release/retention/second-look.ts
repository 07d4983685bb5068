import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { Inventory } from '../inventory/index.ts';
import { Belongings } from './belongings.ts';
import type { Deletion } from './plan.ts';
import type { RepositoryStore } from './repository-store.ts';

/** What changed since the inventory. */
export class SecondLook {
  readonly #inventory: Inventory;
  readonly #store: RepositoryStore;
  readonly #belongings: Belongings;
  readonly #spared = new Map<Digest, string>();
  /** Tags as they are known now. */
  readonly #tags: Map<string, Digest>;

  /** What the plan deletes. */
  readonly #goes: ReadonlySet<Digest>;

  constructor(inventory: Inventory, store: RepositoryStore, deletions: readonly Deletion[]) {
    this.#inventory = inventory;
    this.#store = store;
    this.#belongings = new Belongings(inventory);
    this.#tags = new Map([...inventory.tags].map(([tag, { digest }]) => [tag, digest]));
    this.#goes = new Set(deletions.flatMap((each) => (each.kind === 'manifest' ? [each.digest] : [])));
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

  /** Whether the manifest is none that goes, as far as is known now. */
  stays(digest: Digest): boolean {
    return this.#inventory.manifests.has(digest) && (!this.#goes.has(digest) || this.#spared.has(digest));
  }

  /** Whether a tag that is still there names it. */
  isTagged(digest: Digest): boolean {
    return [...this.#tags.values()].includes(digest);
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
