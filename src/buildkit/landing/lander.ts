import { join } from 'node:path';
import type { Client } from '@grpc/grpc-js';
import pLimit from 'p-limit';
import { type Expected, hexOf } from '../../digest/index.ts';
import { type Cancelable, messageOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { BuildListener, LandedVia } from '../progress/events.ts';
import { readBlobToFile } from './content-reader.ts';
import type { Landing, LandingPath } from './landing.ts';

/** Blobs fetched at the same time: the daemon opens all at once, and two already fill the path on a small machine. */
const WIDTH = 4;
/** Progress of one blob is told again after this many bytes. */
const PROGRESS_STEP_BYTES = 8 * 1024 * 1024;

export interface LandedBlob extends Expected {
  readonly via: LandedVia;
}

export interface LanderOptions extends Cancelable {
  readonly landing: Landing;
  /** The daemon's content directory, when it is on this machine. */
  readonly contentDir: string | undefined;
  /** A connection of its own, so that blob bytes never queue in front of status and health traffic. */
  readonly reader: Client;
  readonly paths: readonly LandingPath[];
  /** Blobs that the caller has elsewhere and does not want: they do not come over. */
  readonly have: (blob: Expected) => boolean | Promise<boolean>;
  readonly listener: BuildListener;
  readonly log: Log;
}

/** Brings the image's blobs into the landing layout, each by the first way that works. */
export class Lander {
  readonly #options: LanderOptions;
  readonly #limit = pLimit(WIDTH);
  readonly #landed = new Map<string, LandedBlob>();

  constructor(options: LanderOptions) {
    this.#options = options;
  }

  /** In the order they landed. */
  get landed(): readonly LandedBlob[] {
    return [...this.#landed.values()];
  }

  /**
   * True when the blob need not come any more (it is in the layout now, or the caller has it elsewhere); false: take it from
   * the session. Throws when no way is left, or the layout fails.
   */
  async fetch(blob: Expected): Promise<boolean> {
    const { have, landing, paths, signal } = this.#options;
    if (await landing.hasBlob({ digest: blob.digest, size: blob.sizeBytes })) {
      this.landedBy('present', blob);
      return true;
    }
    if (await have(blob)) {
      this.landedBy('elsewhere', blob);
      return true;
    }
    this.#tell(blob, 'started', 0, undefined);
    const via = await this.#limit(async () => {
      signal.throwIfAborted();
      return await this.#fetchDirectly(blob);
    });
    if (via !== undefined) this.landedBy(via, blob);
    else if (!paths.includes('session')) {
      throw new WorkerError(
        'BLOB_MISSING',
        `blob ${blob.digest} cannot be fetched by ${paths.join(' or ') || 'any way'}`,
      );
    }
    return via !== undefined;
  }

  landedBy(via: LandedVia, blob: Expected): void {
    this.#landed.set(blob.digest, { digest: blob.digest, sizeBytes: blob.sizeBytes, via });
    this.#tell(blob, 'landed', blob.sizeBytes, via);
  }

  /** Tells progress now and then, for any way. */
  progressOf(blob: Expected): (doneBytes: number) => void {
    let toldBytes = 0;
    return (doneBytes) => {
      if (doneBytes - toldBytes < PROGRESS_STEP_BYTES) return;
      toldBytes = doneBytes;
      this.#tell(blob, 'progress', doneBytes, undefined);
    };
  }

  async #fetchDirectly(blob: Expected): Promise<LandedVia | undefined> {
    const { paths } = this.#options;
    if (paths.includes('link') && (await this.#attempt('link', blob, () => this.#link(blob)))) return 'link';
    if (paths.includes('read') && (await this.#attempt('read', blob, () => this.#read(blob)))) return 'read';
    return undefined;
  }

  /** A way that fails leads to the next one; our own disk or a cancelled build fails them all. */
  async #attempt(way: LandingPath, blob: Expected, work: () => Promise<boolean>): Promise<boolean> {
    try {
      return await work();
    } catch (thrown) {
      this.#options.signal.throwIfAborted();
      const error = toWorkerError(thrown, `land blob ${blob.digest} by ${way}`);
      if (error.code === 'DISK_FULL') throw error;
      // Manifests and configurations of caches are in the daemon's memory alone.
      this.#options.log[error.code === 'BLOB_MISSING' ? 'debug' : 'warn'](
        { digest: blob.digest, way, code: error.code, reason: messageOf(error) },
        'blob could not be landed this way',
      );
      return false;
    }
  }

  async #link(blob: Expected): Promise<boolean> {
    const { contentDir, landing } = this.#options;
    if (contentDir === undefined) return false;
    // containerd's local content store: plain, immutable files by digest.
    return await landing.linkFile(join(contentDir, 'blobs', 'sha256', hexOf(blob.digest)), blob);
  }

  async #read(blob: Expected): Promise<boolean> {
    const { landing, reader, signal } = this.#options;
    const path = await landing.temporaryPath(hexOf(blob.digest).slice(0, 12));
    await readBlobToFile(reader, blob, path, { signal, onProgress: this.progressOf(blob) });
    await landing.adoptFile(path, blob);
    return true;
  }

  #tell(blob: Expected, state: 'started' | 'progress' | 'landed', doneBytes: number, via: LandedVia | undefined): void {
    this.#options.listener({ type: 'blob', state, digest: blob.digest, sizeBytes: blob.sizeBytes, doneBytes, via });
  }

  /** The landing itself, for bytes that come through the session. */
  get landing(): Landing {
    return this.#options.landing;
  }
}
