import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { MEDIA_TYPES } from '../../../src/oci/index.ts';
import type { FetchedManifest } from '../../../src/registry/index.ts';
import {
  EMPTY_LEDGER,
  type Holder,
  type LedgerContent,
  type LedgerPort,
  type ReleaseContext,
  type ReleaseRequest,
  releaseRegistry,
} from '../../../src/release/index.ts';

export const REPOSITORY = { registry: 'ghcr.io', repository: 'owner/demo-hello_python' };

export interface Call {
  readonly what: 'head' | 'get' | 'put' | 'tags' | 'delete' | 'read-ledger' | 'write-ledger' | 'build' | 'sleep';
  readonly name: string;
}

/** A registry and a ledger in memory, below the code that releases really run. */
export class MemoryRelease {
  readonly tags = new Map<string, Digest>();
  readonly manifests = new Map<Digest, FetchedManifest>();
  readonly calls: Call[] = [];
  ledger: { content: LedgerContent; etag: number } = { content: EMPTY_LEDGER, etag: 0 };
  /** Before each call takes effect; throws what the call is to fail with. */
  before: (call: Call) => Promise<void> | void = () => undefined;
  /** Behind it: a call that took effect, and whose answer may be lost. */
  after: (call: Call) => void = () => undefined;
  /** Before a tag gets another image. */
  onPut: (tag: string, digest: Digest) => void = () => undefined;

  /** Another image with each name. */
  addImage(name: string): Digest {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, name }));
    const digest = digestOf(bytes);
    this.manifests.set(digest, { bytes, digest, mediaType: MEDIA_TYPES.ociIndex });
    return digest;
  }

  /** What one process releases with. */
  context(
    options: {
      readonly say?: (line: string) => void;
      readonly build?: () => Digest;
      readonly holder?: Omit<Holder, 'untilMs'>;
      readonly hasEnded?: (holder: Holder) => boolean;
      readonly signal?: AbortSignal;
      readonly before?: (call: Call) => Promise<void> | void;
    } = {},
  ): ReleaseContext {
    const { say = () => undefined, build = () => this.addImage('built'), hasEnded = () => false } = options;
    const call = async <T>(what: Call['what'], name: string, work: () => T): Promise<T> => {
      const now = { what, name };
      await options.before?.(now);
      await this.before(now);
      this.calls.push(now);
      const result = work();
      this.after(now);
      return result;
    };
    const client = {
      headManifest: (_: object, name: string) =>
        call('head', name, () => {
          const digest = this.tags.get(name);
          return digest === undefined ? undefined : { mediaType: MEDIA_TYPES.ociIndex, digest, size: 1 };
        }),
      getManifest: (_: object, name: string) => call('get', name, () => this.#manifest(name as Digest)),
      putManifest: (_: object, tag: string, bytes: Uint8Array, mediaType: string) =>
        call('put', tag, () => {
          const digest = digestOf(bytes);
          this.onPut(tag, digest);
          this.manifests.set(digest, { bytes, digest, mediaType });
          this.tags.set(tag, digest);
          return { mediaType, digest, size: bytes.length };
        }),
      listTags: () => call('tags', '', () => [...this.tags.keys()]),
      deleteManifest: (_: object, tag: string) =>
        call('delete', tag, () => (this.tags.delete(tag) ? ('deleted' as const) : ('absent' as const))),
    };
    return {
      registry: releaseRegistry(client, REPOSITORY),
      ledger: this.#ledgerPort(call),
      lock: () => Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve() }),
      holder: options.holder ?? { id: 'one', host: 'here', pid: 1, startedAt: '1' },
      hasEnded: (holder) => Promise.resolve(hasEnded(holder)),
      clock: {
        nowMs: () => 1_700_000_000_000,
        sleep: () => call('sleep', '', () => undefined),
        deadline: () => new AbortController().signal,
      },
      pause: () => call('sleep', '', () => undefined),
      say,
      signal: options.signal ?? new AbortController().signal,
      build: () => call('build', '', () => ({ digest: build(), platforms: ['linux/amd64', 'linux/arm64'] })),
    };
  }

  #manifest(digest: Digest): FetchedManifest {
    const found = this.manifests.get(digest);
    if (found === undefined) throw new WorkerError('REGISTRY_NOT_FOUND', `no manifest ${digest}`);
    return found;
  }

  #ledgerPort(call: <T>(what: Call['what'], name: string, work: () => T) => Promise<T>): LedgerPort {
    return {
      read: () => call('read-ledger', '', () => ({ content: this.ledger.content, etag: String(this.ledger.etag) })),
      write: (content, before) =>
        call('write-ledger', '', () => {
          if (before !== String(this.ledger.etag)) throw new WorkerError('STORE_CONFLICT', 'the ledger changed');
          this.ledger = { content, etag: this.ledger.etag + 1 };
        }),
    };
  }
}

export const requestFor = (given: Partial<ReleaseRequest> = {}): ReleaseRequest => ({
  app: 'hello_python',
  version: 'v1.0.0',
  commit: undefined,
  repository: REPOSITORY,
  latest: 'auto',
  ...given,
});
