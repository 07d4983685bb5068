import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { Inventory } from '../inventory/index.ts';
import type { Deletion } from './plan.ts';
import type { RepositoryStore } from './repository-store.ts';
import type { SecondLook } from './second-look.ts';

/**
 * A registry may know the child of an index by that index alone, also when it was pushed by its digest before (olareg does), and then
 * the child goes with the last index that names it. One that stays is put by its digest again before: it stands for itself from then on.
 */
export class OwnPlaces {
  readonly #inventory: Inventory;
  readonly #store: RepositoryStore;
  readonly #look: SecondLook;
  readonly #indexesOf = new Map<Digest, Digest[]>();
  readonly #given = new Set<Digest>();

  constructor(inventory: Inventory, store: RepositoryStore, look: SecondLook) {
    this.#inventory = inventory;
    this.#store = store;
    this.#look = look;
    for (const { children, digest } of inventory.manifests.values())
      for (const child of children)
        this.#indexesOf.set(child.digest, [...(this.#indexesOf.get(child.digest) ?? []), digest]);
  }

  /** To the children that would have none; whether there were any. */
  async giveBefore(deletion: Deletion, { signal }: Cancelable): Promise<boolean> {
    const children = this.#childrenWithout(deletion);
    for (const child of children) {
      await this.#store.putAgain(child, { signal });
      this.#given.add(child);
    }
    return children.length > 0;
  }

  #childrenWithout(deletion: Deletion): readonly Digest[] {
    // A registry that lists every manifest keeps each by itself.
    if (deletion.kind === 'tag' || this.#inventory.seesUntagged) return [];
    const children = this.#inventory.manifests.get(deletion.digest)?.children ?? [];
    return children.map(({ digest }) => digest).filter((digest) => this.#look.stays(digest) && !this.#hasPlace(digest));
  }

  #hasPlace(digest: Digest): boolean {
    if (this.#given.has(digest) || this.#look.isTagged(digest)) return true;
    return this.#indexesOf.get(digest)?.some((index) => this.#look.stays(index)) ?? false;
  }
}
