import type { Digest } from '../../digest/index.ts';
import { type Cancelable, toWorkerError } from '../../errors/index.ts';
import { type Descriptor, MEDIA_TYPES } from '../../oci/index.ts';
import { factsOfAnnotations, factsOfConfig, representative } from './created.ts';
import type { Inventory, InventoryProblem, ManifestEntry, TagEntry } from './inventory.ts';
import { parseEntry } from './parse-entry.ts';
import { readTag, subjectOf, variantsAmong } from './read-tag.ts';
import type { ListedManifest, RepositoryReader } from './repository-reader.ts';
import { workThrough } from './work-list.ts';

export interface InventoryOptions extends Cancelable {
  /** Suffixes of tags that are variants, beside those that the tags tell themselves. */
  readonly variants?: readonly string[];
  /** Digests to look for although nothing may name them. */
  readonly alsoLookAt?: Iterable<Digest>;
  /** Requests in flight. */
  readonly width?: number;
  /** After each tag and manifest. */
  readonly onProgress?: (progress: { readonly tags: number; readonly manifests: number }) => void;
}

const WIDTH = 8;
/** Of a configuration; larger ones say nothing. */
const MAX_CONFIG_BYTES = 8 * 1024 * 1024;
const CONFIG_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig]);

/**
 * Reads all that can be seen of a repository: tags, what they name, children, referrers, and what digest tags belong to. What could
 * not be read stands in `problems`; only the list of tags must be there. Throws what the list of tags or of manifests fails with.
 */
export async function readInventory(reader: RepositoryReader, options: InventoryOptions): Promise<Inventory> {
  const { signal } = options;
  const names = await reader.listTags({ signal });
  const listed = (await reader.listManifests?.({ signal })) ?? [];
  const reading = new Reading(reader, options);
  const resolved = await reading.resolveTags(names);
  const roots = [
    ...resolved.values(),
    ...listed.map(({ digest }) => digest),
    ...names.flatMap((tag) => subjectOf(tag) ?? []),
    ...(options.alsoLookAt ?? []),
  ];
  await reading.readManifests(roots);
  await reading.readConfigs(rootsOf(reading.manifests, resolved));
  const manifests = withFacts(reading, listed);
  const variants = variantsAmong(names, options.variants);
  const tags = new Map<string, TagEntry>();
  for (const [tag, digest] of [...resolved].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    tags.set(tag, { tag, digest, ...readTag(tag, { variants, versionText: manifests.get(digest)?.versionText }) });
  return {
    repository: reader.repository,
    tags,
    manifests,
    absent: reading.absent,
    seesUntagged: reader.listManifests !== undefined,
    problems: reading.problems,
  };
}

/** The requests of one inventory, and what they brought. */
class Reading {
  readonly manifests = new Map<Digest, ManifestEntry>();
  readonly absent = new Set<Digest>();
  readonly problems: InventoryProblem[] = [];
  readonly facts = new Map<Digest, ReturnType<typeof factsOfConfig>>();
  readonly #configs = new Map<Digest, Descriptor>();
  readonly #reader: RepositoryReader;
  readonly #options: InventoryOptions;
  readonly #width: number;
  #tags = 0;

  constructor(reader: RepositoryReader, options: InventoryOptions) {
    this.#reader = reader;
    this.#options = options;
    this.#width = options.width ?? WIDTH;
  }

  /** A tag that is listed and not there was deleted just now, or the registry lists more than it has: nobody can tell. */
  async resolveTags(names: readonly string[]): Promise<ReadonlyMap<string, Digest>> {
    const { signal } = this.#options;
    const resolved = new Map<string, Digest>();
    await workThrough(names, this.#width, async (tag) => {
      const digest = await this.#tried('tag', tag, () => this.#reader.headTag(tag, { signal }));
      if (digest === 'failed') return;
      if (digest === undefined) {
        const message = `the tag ${tag} is listed, but there is no manifest under it`;
        this.problems.push({ part: 'tag', name: tag, code: 'REGISTRY_NOT_FOUND', message });
        return;
      }
      resolved.set(tag, digest);
      this.#tags++;
      this.#progress();
    });
    return resolved;
  }

  async readManifests(roots: readonly Digest[]): Promise<void> {
    const { signal } = this.#options;
    await workThrough(roots, this.#width, async (digest, add) => {
      const parsed = await this.#tried('manifest', digest, async () => {
        const fetched = await this.#reader.readManifest(digest, { signal });
        return fetched === undefined ? undefined : parseEntry(fetched);
      });
      if (parsed === undefined) this.absent.add(digest);
      else if (parsed !== 'failed') {
        const { config, entry } = parsed;
        this.manifests.set(digest, entry);
        if (config !== undefined) this.#configs.set(digest, config);
        for (const child of entry.children) if (child.isManifest) add(child.digest);
        if (entry.subject !== undefined) add(entry.subject);
        this.#progress();
      }
      // Also of what is not there: a referrer may outlive its subject, and come before it.
      const referrers = await this.#tried('referrers', digest, () => this.#reader.listReferrers(digest, { signal }));
      if (referrers !== 'failed') for (const referrer of referrers) add(referrer.digest);
    });
  }

  async readConfigs(roots: readonly ManifestEntry[]): Promise<void> {
    const { signal } = this.#options;
    const images = new Set(roots.flatMap((root) => representative(root, this.manifests)?.digest ?? []));
    await workThrough(images, this.#width, async (image) => {
      const config = this.#configs.get(image);
      if (config === undefined || !CONFIG_TYPES.has(config.mediaType) || config.size > MAX_CONFIG_BYTES) return;
      const bytes = await this.#tried('config', config.digest, () =>
        this.#reader.readBlob(config.digest, MAX_CONFIG_BYTES, { signal }),
      );
      if (bytes !== 'failed') this.facts.set(image, factsOfConfig(bytes));
    });
  }

  async #tried<T>(part: InventoryProblem['part'], name: string, work: () => Promise<T>): Promise<T | 'failed'> {
    try {
      return await work();
    } catch (thrown) {
      this.#options.signal.throwIfAborted();
      const { code, message } = toWorkerError(thrown, `reading ${part} ${name}`);
      this.problems.push({ part, name, code, message });
      return 'failed';
    }
  }

  #progress(): void {
    this.#options.onProgress?.({ tags: this.#tags, manifests: this.manifests.size });
  }
}

/** What a person would call an image: what a tag names, and what no index holds. */
function rootsOf(
  manifests: ReadonlyMap<Digest, ManifestEntry>,
  tags: ReadonlyMap<string, Digest>,
): readonly ManifestEntry[] {
  const tagged = new Set(tags.values());
  const held = new Set([...manifests.values()].flatMap(({ children }) => children.map(({ digest }) => digest)));
  return [...manifests.values()].filter(({ digest }) => tagged.has(digest) || !held.has(digest));
}

/** Annotations go before the configuration: of an index they speak for all of it. */
function withFacts(
  { facts, manifests }: Reading,
  listed: readonly ListedManifest[],
): ReadonlyMap<Digest, ManifestEntry> {
  const pushed = new Map(listed.map(({ digest, pushedMs }) => [digest, pushedMs]));
  return new Map(
    [...manifests].map(([digest, entry]) => {
      const own = factsOfAnnotations(entry.annotations);
      const image = representative(entry, manifests);
      const read = image === undefined ? {} : (facts.get(image.digest) ?? {});
      const inside = image === undefined ? {} : factsOfAnnotations(image.annotations);
      return [
        digest,
        {
          ...entry,
          createdMs: own.createdMs ?? read.createdMs ?? inside.createdMs,
          versionText: own.versionText ?? read.versionText ?? inside.versionText,
          pushedMs: pushed.get(digest),
        },
      ];
    }),
  );
}
