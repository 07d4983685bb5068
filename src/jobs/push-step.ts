import pLimit from 'p-limit';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import {
  DEFAULT_LIMITS,
  type GrowingBlob,
  type PushOutcome,
  type RegistryClient,
  type Repository,
  type UploadOptions,
} from '../registry/index.ts';
import type { JobReporter } from './events.ts';
import type { PhaseClock } from './phases.ts';
import { PushMeter } from './push-meter.ts';
import type { BlobLookup } from './registry-blobs.ts';

export interface PusherOptions extends Cancelable {
  readonly client: Pick<RegistryClient, 'pushBlob' | 'pushGrowing'>;
  readonly target: Repository;
  /** Repositories of the same registry that may hold the image's base layers. */
  readonly mountFrom: readonly string[];
  /** Whether the target has a blob; each is asked for once. */
  readonly inRegistry: BlobLookup;
  readonly width: number;
  readonly clock: PhaseClock;
  readonly report: JobReporter;
  /** Hears of each upload before its bytes flow. */
  readonly onUpload?: (uploadUrl: string) => Promise<void>;
  /** Hears of a failure when it happens: what it makes useless should end with `signal`. */
  readonly onFailure: (reason: unknown) => void;
}

/** A blob to push; without a path it is not on this machine and the registry must have it already. */
export interface PushableBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly path: string | undefined;
}

/** Blobs uploaded side by side, three at a time: more only share the same link and disk. */
export const PUSH_WIDTH = 3;

/** A layer whose blob grows beyond this is pushed while it is packed; a smaller one goes in one request when it is done. */
export const FOLLOW_BYTES = DEFAULT_LIMITS.monolithicBytes;

/**
 * Pushes blobs as they become known, each digest once, and never one that the registry has. A blob that is still being packed
 * is followed; it takes one of the places only while its bytes move, so that it never keeps a finished one waiting for the
 * packer. `drain()` waits for all and throws the first failure.
 */
export class Pusher {
  readonly meter = new PushMeter();
  readonly #options: PusherOptions;
  readonly #limit: ReturnType<typeof pLimit>;
  readonly #outcomes = new Map<Digest, Promise<PushOutcome>>();
  readonly #followed = new Map<GrowingBlob, Promise<PushOutcome>>();
  #bytesSent = 0;

  constructor(options: PusherOptions) {
    this.#options = options;
    this.#limit = pLimit(options.width);
  }

  /** Bytes of blobs that went over the wire. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  push(blob: PushableBlob): void {
    if (this.#outcomes.has(blob.digest)) return;
    this.#options.clock.start('pushing');
    const followed = [...this.#followed].find(([{ growth }]) => growth.final?.digest === blob.digest)?.[1];
    const outcome = followed ?? this.#limit(() => this.#watched(this.#pushOne(blob)));
    outcome.catch(() => undefined); // drain() throws it
    this.#outcomes.set(blob.digest, outcome);
  }

  /** Pushes the packed form of the layer `source` while it is packed; `push` of what came out finds it under way. */
  follow(blob: GrowingBlob, source: Digest): void {
    this.#options.clock.start('pushing');
    const outcome = this.#watched(this.#followOne(blob, source));
    outcome.catch(() => undefined); // drain() throws it
    this.#followed.set(blob, outcome);
  }

  async drain(): Promise<ReadonlyMap<Digest, PushOutcome>> {
    const outcomes = new Map<Digest, PushOutcome>();
    await Promise.all(this.#followed.values());
    for (const [digest, outcome] of this.#outcomes) outcomes.set(digest, await outcome);
    this.#options.clock.end('pushing');
    return outcomes;
  }

  /** Waits for what is under way to end and its uploads to be cancelled; the shared signal has told it to. */
  async abandon(): Promise<void> {
    await Promise.allSettled([...this.#followed.values(), ...this.#outcomes.values()]);
  }

  /** A failure is told before its place goes to the next blob. */
  async #watched(work: Promise<PushOutcome>): Promise<PushOutcome> {
    try {
      return await work;
    } catch (thrown) {
      this.#options.onFailure(thrown);
      throw thrown;
    }
  }

  async #pushOne(blob: PushableBlob): Promise<PushOutcome> {
    this.#options.signal.throwIfAborted();
    const { digest, path, sizeBytes } = blob;
    const outcome = path === undefined ? await this.#mustExist(blob) : await this.#upload({ digest, path, sizeBytes });
    this.#count(digest, sizeBytes, outcome, outcome === 'sent' ? sizeBytes : 0);
    return outcome;
  }

  async #upload(blob: {
    readonly digest: Digest;
    readonly path: string;
    readonly sizeBytes: number;
  }): Promise<PushOutcome> {
    const { client, mountFrom, signal, target } = this.#options;
    const { digest, sizeBytes } = blob;
    const onProgress = this.#metered(digest, () => sizeBytes);
    try {
      return await client.pushBlob(target, blob, { mountFrom, onProgress, ...this.#noting(), signal });
    } finally {
      this.meter.end(digest);
    }
  }

  async #followOne(growing: GrowingBlob, source: Digest): Promise<PushOutcome> {
    const { client, signal, target } = this.#options;
    using blob = growing;
    const onProgress = this.#metered(source, () => blob.growth.writtenBytes);
    try {
      const { outcome, sentBytes } = await client.pushGrowing(target, blob, {
        onProgress,
        turn: (work) => this.#limit(work),
        ...this.#noting(),
        signal,
      });
      const { final } = blob.growth;
      if (final === undefined) throw new WorkerError('INTERNAL', `layer ${source} was pushed before it had an end`);
      this.#count(final.digest, final.sizeBytes, outcome, sentBytes);
      return outcome;
    } finally {
      this.meter.end(source);
    }
  }

  #noting(): Pick<UploadOptions, 'onBegun'> {
    const { onUpload } = this.#options;
    return onUpload === undefined ? {} : { onBegun: onUpload };
  }

  /** Progress of a blob under its digest; of one that has none yet, under its layer's. */
  #metered(digest: Digest, knownBytes: () => number): (doneBytes: number) => void {
    this.meter.begin(digest, knownBytes);
    return (doneBytes) => {
      this.meter.moved(digest, doneBytes);
      this.#options.report({ type: 'pushing', digest, doneBytes, totalBytes: knownBytes() });
    };
  }

  #count(digest: Digest, sizeBytes: number, outcome: PushOutcome, sentBytes: number): void {
    const { clock, report } = this.#options;
    this.#bytesSent += sentBytes;
    clock.addBytes('pushing', sentBytes);
    clock.mark('pushing');
    report({ type: 'pushed', digest, outcome, sizeBytes });
  }

  async #mustExist({ digest, sizeBytes }: PushableBlob): Promise<PushOutcome> {
    const { inRegistry, target } = this.#options;
    if (await inRegistry({ digest, sizeBytes })) return 'present';
    throw new WorkerError(
      'BLOB_MISSING',
      `blob ${digest} is neither here nor in ${target.registry}/${target.repository}`,
      { digest },
    );
  }
}
