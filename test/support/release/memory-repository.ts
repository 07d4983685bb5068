import { type Digest, digestOf, hexOf } from '../../../src/digest/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { ATTESTATION_TYPE_ANNOTATION, type Descriptor, MEDIA_TYPES } from '../../../src/oci/index.ts';
import type { FetchedManifest } from '../../../src/registry/index.ts';
import type { RepositoryReader } from '../../../src/release/index.ts';

export interface ImageShape {
  /** What makes it different from another one. */
  readonly name: string;
  readonly created?: string | undefined;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: Digest | undefined;
  readonly platform?: string;
}

export interface StoredManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** As its index would name it. */
  readonly platform?: string | undefined;
  readonly isAttestation?: boolean;
}

/** A repository in memory, for models with more registries than real ones could be started for. Manifests are real documents. */
export class MemoryRepository {
  readonly tags = new Map<string, Digest>();
  readonly manifests = new Map<Digest, StoredManifest>();
  readonly blobs = new Map<Digest, Uint8Array>();
  readonly pushedMs = new Map<Digest, number>();
  /** Whether there is a referrers API. */
  hasReferrersApi = true;
  /** Whether every manifest is listed, tagged or not. */
  listsManifests = false;
  /** Called before each request; may throw. */
  onRequest: (request: string) => void = () => undefined;

  image(shape: ImageShape): Digest {
    const config = this.#blob({
      os: 'linux',
      architecture: 'amd64',
      ...(shape.created !== undefined && { created: shape.created }),
      config: { Labels: { name: shape.name, ...shape.labels } },
      rootfs: { type: 'layers', diff_ids: [] },
    });
    return this.#put(
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: { mediaType: MEDIA_TYPES.ociConfig, ...config },
        layers: [],
        ...subjectOf(shape.subject),
        ...(shape.annotations && { annotations: shape.annotations }),
      },
      { mediaType: MEDIA_TYPES.ociManifest, platform: shape.platform ?? 'linux/amd64' },
    );
  }

  /** BuildKit's: a manifest whose configuration says no time. */
  attestation(name: string): Digest {
    const digest = this.image({ name, created: '2099-01-01T00:00:00Z' });
    const stored = this.manifests.get(digest);
    if (stored !== undefined) this.manifests.set(digest, { ...stored, isAttestation: true });
    return digest;
  }

  /** What another manifest has attached to it. */
  referrer(subject: Digest, name: string): Digest {
    const empty = this.#blob({});
    return this.#put(
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        artifactType: 'application/vnd.test',
        config: { mediaType: MEDIA_TYPES.ociEmpty, ...empty },
        layers: [],
        annotations: { name },
        ...subjectOf(subject),
      },
      { mediaType: MEDIA_TYPES.ociManifest },
    );
  }

  /** What took the place of a tag that was removed. */
  mark(tag: string): Digest {
    const empty = { mediaType: MEDIA_TYPES.ociEmpty, ...this.#blob({}) };
    return this.#put(
      {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        artifactType: 'application/vnd.clipyard.removed-tag.v1',
        config: empty,
        layers: [empty],
        annotations: { 'dev.clipyard.tag.removed': tag },
      },
      { mediaType: MEDIA_TYPES.ociManifest },
    );
  }

  index(children: readonly Digest[], annotations: Readonly<Record<string, string>> = {}): Digest {
    const manifests = children.map((digest) => this.descriptorOf(digest));
    return this.#put(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests, annotations },
      { mediaType: MEDIA_TYPES.ociIndex },
    );
  }

  /** The tag that stands for the referrers API where there is none. */
  fallbackTag(subject: Digest, referrers: readonly Digest[]): Digest {
    const digest = this.index(referrers);
    this.tags.set(`sha256-${hexOf(subject)}`, digest);
    return digest;
  }

  descriptorOf(digest: Digest): Descriptor {
    const { bytes, isAttestation, mediaType, platform } = this.manifests.get(digest) ?? {
      bytes: new Uint8Array(),
      mediaType: MEDIA_TYPES.ociManifest,
    };
    const [os = 'unknown', architecture = 'unknown'] = (platform ?? '').split('/');
    return {
      mediaType,
      digest,
      size: bytes.length,
      ...(isAttestation === true
        ? {
            platform: { os: 'unknown', architecture: 'unknown' },
            annotations: { [ATTESTATION_TYPE_ANNOTATION]: 'attestation-manifest' },
          }
        : platform !== undefined && { platform: { os, architecture } }),
    };
  }

  /** Those that are there. */
  childrenOf(digest: Digest): readonly Digest[] {
    const { manifests = [] } = this.#document(digest);
    return manifests.map((child) => child.digest).filter((child) => this.manifests.has(child));
  }

  /** Removes a manifest and every tag on it, as a registry does. */
  remove(digest: Digest): void {
    this.manifests.delete(digest);
    for (const [tag, target] of this.tags) if (target === digest) this.tags.delete(tag);
  }

  reader(): RepositoryReader {
    return {
      repository: { registry: 'memory.example', repository: 'app' },
      listTags: () => this.#answer('GET tags', () => [...this.tags.keys()]),
      headTag: (tag) => this.#answer(`HEAD ${tag}`, () => this.tags.get(tag)),
      readManifest: (digest) => this.#answer(`GET ${digest}`, () => this.#fetched(digest)),
      readBlob: (digest) => this.#answer(`GET blob ${digest}`, () => this.blobs.get(digest)),
      listReferrers: (subject) =>
        this.#answer(`GET referrers ${subject}`, () => (this.hasReferrersApi ? this.#referrersOf(subject) : [])),
      ...(this.listsManifests && {
        listManifests: () =>
          this.#answer('GET manifests', () =>
            [...this.manifests.keys()].map((digest) => ({ digest, pushedMs: this.pushedMs.get(digest) })),
          ),
      }),
    };
  }

  #referrersOf(subject: Digest): readonly Descriptor[] {
    return [...this.manifests.keys()]
      .filter((digest) => this.#document(digest).subject?.digest === subject)
      .map((digest) => this.descriptorOf(digest));
  }

  #document(digest: Digest): {
    readonly subject?: { readonly digest: Digest };
    readonly manifests?: readonly { readonly digest: Digest }[];
  } {
    const bytes = this.manifests.get(digest)?.bytes ?? Buffer.from('{}');
    return JSON.parse(Buffer.from(bytes).toString()) as {
      subject?: { digest: Digest };
      manifests?: { digest: Digest }[];
    };
  }

  #fetched(digest: Digest): FetchedManifest | undefined {
    const stored = this.manifests.get(digest);
    return stored === undefined ? undefined : { digest, bytes: stored.bytes, mediaType: stored.mediaType };
  }

  async #answer<T>(request: string, answer: () => T): Promise<T> {
    this.onRequest(request);
    return await Promise.resolve(answer());
  }

  #blob(document: object): { readonly digest: Digest; readonly size: number } {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  }

  #put(document: object, how: Omit<StoredManifest, 'bytes'>): Digest {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(bytes);
    this.manifests.set(digest, { bytes, ...how });
    return digest;
  }
}

/** A registry that fails for good. */
export function unavailable(request: string): WorkerError {
  return new WorkerError('REGISTRY_THROTTLED', `${request}: 429`);
}

function subjectOf(subject: Digest | undefined): object {
  return subject === undefined ? {} : { subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 2 } };
}
