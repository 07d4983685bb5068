import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { PushOutcome, RegistryClient, Repository } from '../registry/index.ts';
import type { JobReporter } from './events.ts';
import type { PhaseClock } from './phases.ts';
import type { BlobLookup } from './registry-blobs.ts';

export interface PusherOptions extends Cancelable {
  readonly client: RegistryClient;
  readonly target: Repository;
  /** Repositories of the same registry that may hold the image's base layers. */
  readonly mountFrom: readonly string[];
  /** Whether the target has a blob; each is asked for once. */
  readonly inRegistry: BlobLookup;
  readonly width: number;
  readonly clock: PhaseClock;
  readonly report: JobReporter;
}

/** A blob to push; without a path it is not on this machine and the registry must have it already. */
export interface PushableBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly path: string | undefined;
}

/** Blobs uploaded side by side, three at a time: more only share the same link and disk. */
export const PUSH_WIDTH = 3;

/**
 * Pushes blobs as they become known, each digest once, and never one that the registry has. `drain()` waits for all and
 * throws the first failure.
 */
export class Pusher {
  readonly #options: PusherOptions;
  readonly #limit: ReturnType<typeof pLimit>;
  readonly #outcomes = new Map<Digest, Promise<PushOutcome>>();
  #bytesSent = 0;

  constructor(options: PusherOptions) {
    this.#options = options;
    this.#limit = pLimit(options.width);
  }

  /** Of blobs; manifests are not counted. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  push(blob: PushableBlob): void {
    if (this.#outcomes.has(blob.digest)) return;
    this.#options.clock.start('pushing');
    const outcome = this.#limit(() => this.#pushOne(blob));
    outcome.catch(() => undefined); // drain() throws it
    this.#outcomes.set(blob.digest, outcome);
  }

  async drain(): Promise<ReadonlyMap<Digest, PushOutcome>> {
    const outcomes = new Map<Digest, PushOutcome>();
    for (const [digest, outcome] of this.#outcomes) outcomes.set(digest, await outcome);
    this.#options.clock.end('pushing');
    return outcomes;
  }

  /** Drops what has not begun and waits for the rest, which the shared signal has stopped. */
  async abandon(): Promise<void> {
    this.#limit.clearQueue();
    while (this.#limit.activeCount > 0) await sleep(10); // cleared entries never settle: their promises cannot be awaited
  }

  async #pushOne(blob: PushableBlob): Promise<PushOutcome> {
    const { clock, report } = this.#options;
    const { digest, path, sizeBytes } = blob;
    const outcome = path === undefined ? await this.#mustExist(blob) : await this.#upload({ digest, path, sizeBytes });
    if (outcome === 'sent') {
      this.#bytesSent += sizeBytes;
      clock.addBytes('pushing', sizeBytes);
    }
    clock.mark('pushing');
    report({ type: 'pushed', digest, outcome, sizeBytes });
    return outcome;
  }

  async #upload(blob: {
    readonly digest: Digest;
    readonly path: string;
    readonly sizeBytes: number;
  }): Promise<PushOutcome> {
    const { client, mountFrom, report, signal, target } = this.#options;
    const onProgress = (doneBytes: number) => {
      report({ type: 'pushing', digest: blob.digest, doneBytes, totalBytes: blob.sizeBytes });
    };
    return await client.pushBlob(target, blob, { mountFrom, onProgress, signal });
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
