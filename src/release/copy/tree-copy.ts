import pLimit from 'p-limit';
import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import { type Descriptor, type Index, isIndexType, type Manifest, parseIndex, parseManifest } from '../../oci/index.ts';
import {
  type FetchedManifest,
  fallbackTagOf,
  type PushOutcome,
  type RegistryClient,
  type Repository,
} from '../../registry/index.ts';
import { inspectTarget, type TagWrite, writeTag } from '../retag/index.ts';
import { streamedBlob } from './streamed-blob.ts';

/** One blob or manifest that was dealt with; of a dry run, what would have become of it. */
export type CopyEvent =
  | { readonly kind: 'blob'; readonly digest: Digest; readonly sizeBytes: number; readonly outcome: PushOutcome }
  | { readonly kind: 'manifest'; readonly digest: Digest; readonly outcome: 'copied' | 'present' };

export interface CopyCounts {
  readonly manifests: { readonly copied: number; readonly present: number };
  readonly blobs: Readonly<Record<PushOutcome, number>>;
  /** Of blobs that went over the wire. */
  readonly sentBytes: number;
  /** Manifests that name another one of the copy as their subject. */
  readonly referrers: number;
  /** Tags that belong to a digest of the copy. */
  readonly companions: readonly string[];
  /** Referrers that the source lists and does not have. */
  readonly missing: readonly Digest[];
}

export interface TreeCopyOptions extends Cancelable {
  readonly client: RegistryClient;
  readonly source: Repository;
  readonly target: Repository;
  readonly dryRun: boolean;
  readonly report: (event: CopyEvent) => void;
}

/** Blobs on their way at a time. */
const BLOB_WIDTH = 4;
/** Cosign's, beside the list of referrers itself. */
const COMPANIONS = ['', '.sig', '.att', '.sbom'];

/** Copies manifests with what they name, each digest once. */
export class TreeCopy {
  readonly #options: TreeCopyOptions;
  readonly #seen = new Set<Digest>();
  readonly #blobs = new Map<Digest, Promise<void>>();
  readonly #manifests = { copied: 0, present: 0 };
  readonly #outcomes: Record<PushOutcome, number> = { sent: 0, mounted: 0, present: 0 };
  readonly #referrers = new Set<Digest>();
  readonly #companions: string[] = [];
  readonly #missing: Digest[] = [];
  #sentBytes = 0;

  constructor(options: TreeCopyOptions) {
    this.#options = options;
  }

  get counts(): CopyCounts {
    return {
      manifests: this.#manifests,
      blobs: this.#outcomes,
      sentBytes: this.#sentBytes,
      referrers: this.#referrers.size,
      companions: this.#companions,
      missing: this.#missing,
    };
  }

  /** What a manifest names: the children of an index with all below them, or blobs. */
  async below(fetched: FetchedManifest): Promise<void> {
    const document = documentOf(fetched);
    if ('manifests' in document) for (const { digest } of document.manifests) await this.#manifest(digest);
    else if (!(await this.#isThere(fetched.digest))) await this.#blobsOf(document);
  }

  /** The manifest whose tree is there: by digest, then under its tag. */
  async top(fetched: FetchedManifest, tag: string | undefined): Promise<TagWrite | undefined> {
    const { client, dryRun, target: repository, signal } = this.#options;
    await this.#put(fetched, { isThere: await this.#isThere(fetched.digest) });
    if (tag === undefined) return undefined;
    if (!dryRun) return await writeTag({ tag }, fetched, { client, repository, signal });
    const before = await inspectTarget({ tag }, fetched.digest, { client, repository, signal });
    return { tag, before, after: fetched.digest, written: false };
  }

  /** What refers to any manifest of the copy, by subject or by a tag of its digest; to those, too, as they are added. */
  async attached(): Promise<void> {
    // A set is walked to its end, with what is added on the way.
    for (const digest of this.#seen) {
      const entries = await this.#options.client.listReferrers(this.#options.source, digest, this.#options);
      const companions = await this.#companionsOf(digest);
      // Kept by hand under the tag, although the registry has a list of its own.
      const listed = companions.flatMap(({ fetched, suffix }) =>
        suffix === '' && isIndexType(fetched.mediaType) ? parseIndex(fetched.bytes).manifests : [],
      );
      await this.#referrersOf(digest, [...entries, ...listed]);
      for (const { fetched, suffix } of companions)
        if (suffix !== '' || !isIndexType(fetched.mediaType))
          await this.#companion(fetched, fallbackTagOf(digest) + suffix);
    }
  }

  async #manifest(digest: Digest): Promise<void> {
    if (this.#seen.has(digest)) return;
    const fetched = await this.#options.client.getManifest(this.#options.source, digest, this.#options);
    await this.below(fetched);
    await this.#put(fetched, { isThere: await this.#isThere(digest) });
  }

  async #put(fetched: FetchedManifest, { isThere }: { readonly isThere: boolean }): Promise<void> {
    const { client, dryRun, report, target } = this.#options;
    const { bytes, digest, mediaType } = fetched;
    if (this.#seen.has(digest)) return;
    this.#seen.add(digest);
    const outcome = isThere ? 'present' : 'copied';
    if (!dryRun && !isThere) {
      if (documentOf(fetched).subject === undefined)
        await client.putManifest(target, digest, bytes, mediaType, this.#options);
      else await client.pushReferrer(target, bytes, mediaType, this.#options);
    }
    this.#manifests[outcome]++;
    report({ kind: 'manifest', digest, outcome });
  }

  async #isThere(digest: Digest): Promise<boolean> {
    const { client, target } = this.#options;
    return (await client.headManifest(target, digest, this.#options)) !== undefined;
  }

  async #blobsOf({ config, layers }: Manifest): Promise<void> {
    const limit = pLimit({ concurrency: BLOB_WIDTH, rejectOnClear: true });
    try {
      await Promise.all([config, ...layers].map((blob) => limit(() => this.#blob(blob))));
    } finally {
      limit.clearQueue();
    }
  }

  async #blob(descriptor: Descriptor): Promise<void> {
    const copied = this.#blobs.get(descriptor.digest) ?? this.#copyBlob(descriptor);
    this.#blobs.set(descriptor.digest, copied);
    await copied;
  }

  async #copyBlob({ digest, size, urls = [] }: Descriptor): Promise<void> {
    const { client, dryRun, report, signal, source, target } = this.#options;
    // A layer that lies elsewhere is not in most registries.
    if (urls.length > 0 && (await client.headBlob(source, digest, { signal })) === undefined) return;
    const isSameRegistry = source.registry === target.registry;
    const outcome = dryRun
      ? await this.#wouldBe(digest, isSameRegistry)
      : await client.pushBlob(target, streamedBlob(client, source, { digest, sizeBytes: size }, { signal }), {
          mountFrom: isSameRegistry ? [source.repository] : [],
          signal,
        });
    this.#outcomes[outcome]++;
    if (outcome === 'sent') this.#sentBytes += size;
    report({ kind: 'blob', digest, sizeBytes: size, outcome });
  }

  async #wouldBe(digest: Digest, isSameRegistry: boolean): Promise<PushOutcome> {
    const { client, signal, target } = this.#options;
    if ((await client.headBlob(target, digest, { signal })) !== undefined) return 'present';
    return isSameRegistry ? 'mounted' : 'sent';
  }

  async #referrersOf(subject: Digest, entries: readonly Descriptor[]): Promise<void> {
    if (entries.length === 0) return;
    const { client, dryRun, source, target } = this.#options;
    const listed = new Set((await client.listReferrers(target, subject, this.#options)).map(({ digest }) => digest));
    for (const { digest } of entries) {
      if (this.#referrers.has(digest) || this.#missing.includes(digest)) continue;
      // A list that is kept by hand may name what is gone.
      if ((await client.headManifest(source, digest, this.#options)) === undefined) {
        this.#missing.push(digest);
        continue;
      }
      const wasThere = this.#seen.has(digest) || (await this.#isThere(digest));
      await this.#manifest(digest);
      if (wasThere && !listed.has(digest) && !dryRun) {
        const { bytes, mediaType } = await client.getManifest(source, digest, this.#options);
        await client.pushReferrer(target, bytes, mediaType, this.#options);
      }
      this.#referrers.add(digest);
    }
  }

  async #companionsOf(
    digest: Digest,
  ): Promise<readonly { readonly suffix: string; readonly fetched: FetchedManifest }[]> {
    const { client, source } = this.#options;
    const found = [];
    for (const suffix of COMPANIONS) {
      const there = await client.headManifest(source, fallbackTagOf(digest) + suffix, this.#options);
      if (there !== undefined)
        found.push({ suffix, fetched: await client.getManifest(source, there.digest, this.#options) });
    }
    return found;
  }

  async #companion(fetched: FetchedManifest, tag: string): Promise<void> {
    await this.below(fetched);
    await this.top(fetched, tag);
    this.#companions.push(tag);
  }
}

function documentOf({ bytes, mediaType }: FetchedManifest): Index | Manifest {
  return isIndexType(mediaType) ? parseIndex(bytes) : parseManifest(bytes);
}
