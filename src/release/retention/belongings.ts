import type { Digest } from '../../digest/index.ts';
import type { Inventory } from '../inventory/index.ts';

/** What belongs to a manifest, and in which way. */
export interface Belonging {
  readonly digest: Digest;
  readonly as: 'child' | 'referrer' | 'digest tag';
}

/** The graph of a repository, downwards: children of indexes, referrers of subjects, and what digest tags name. */
export class Belongings {
  readonly #of = new Map<Digest, Belonging[]>();

  constructor({ manifests, tags }: Pick<Inventory, 'manifests' | 'tags'>) {
    for (const { children, digest, subject } of manifests.values()) {
      for (const child of children) this.#add(digest, { digest: child.digest, as: 'child' });
      if (subject !== undefined) this.#add(subject, { digest, as: 'referrer' });
    }
    for (const { digest, subject } of tags.values())
      if (subject !== undefined) this.#add(subject, { digest, as: 'digest tag' });
  }

  of(digest: Digest): readonly Belonging[] {
    return this.#of.get(digest) ?? [];
  }

  /** The roots with all that belongs to them, and again: each with what first led there (none for a root). */
  closure(roots: Iterable<Digest>): ReadonlyMap<Digest, (Belonging & { readonly owner: Digest }) | undefined> {
    const reached = new Map<Digest, (Belonging & { readonly owner: Digest }) | undefined>();
    const waiting: Digest[] = [];
    for (const root of roots) {
      if (reached.has(root)) continue;
      reached.set(root, undefined);
      waiting.push(root);
    }
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const belonging of this.of(at)) {
        if (reached.has(belonging.digest)) continue;
        reached.set(belonging.digest, { ...belonging, owner: at });
        waiting.push(belonging.digest);
      }
    }
    return reached;
  }

  /**
   * Owners before what belongs to them. Digest tags, and referrers that are indexes, can make circles; then an index still goes before
   * its children, which never do.
   */
  ownersFirst(digests: ReadonlySet<Digest>): readonly Digest[] {
    const left = new Map([...digests].map((digest) => [digest, { owners: 0, indexes: 0 }]));
    const count = (digest: Digest, by: 1 | -1) => {
      for (const { as, digest: owned } of this.of(digest)) {
        const counts = owned === digest ? undefined : left.get(owned);
        if (counts === undefined) continue;
        counts.owners += by;
        if (as === 'child') counts.indexes += by;
        if (counts.owners === 0) free.push(owned);
      }
    };
    const free: Digest[] = [];
    for (const digest of digests) count(digest, 1);
    free.push(...[...left].flatMap(([digest, { owners }]) => (owners === 0 ? [digest] : [])));
    const ordered: Digest[] = [];
    while (left.size > 0) {
      const next = free.shift() ?? [...left].find(([, { indexes }]) => indexes === 0)?.[0];
      if (next === undefined) return [...ordered, ...left.keys()];
      if (!left.delete(next)) continue;
      ordered.push(next);
      count(next, -1);
    }
    return ordered;
  }

  #add(owner: Digest, belonging: Belonging): void {
    const known = this.#of.get(owner);
    if (known === undefined) this.#of.set(owner, [belonging]);
    else known.push(belonging);
  }
}
