import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, messageOf, toWorkerError, type WorkerError } from '../../errors/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { Log } from '../../telemetry/index.ts';

export interface StepLogOptions {
  readonly store: ObjectStore;
  /** Chunks wait here until the store has them. */
  readonly directory: string;
  /** Key before the names of the chunks. */
  readonly prefix: string;
  readonly chunkBytes: number;
  /** Of the whole log; what comes later is cut. */
  readonly maxBytes: number;
  readonly log: Log;
}

export interface StepLine {
  readonly timeMs: number;
  readonly step: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Written to the disk together. */
const HELD_BYTES = 64 * 1024;

/** `logs/<workspace>/<job>/<attempt>`: chunks `00001.jsonl`, … and, when it is complete, `index.json`. */
export function logPrefix(workspaceId: string, jobId: string, attempt: number): string {
  return `logs/${workspaceId}/${jobId}/${attempt}`;
}

/**
 * Everything the steps of an attempt print, in the object store: JSON lines in chunks, so that what was printed before a crash
 * is there. Lines are taken at any speed: they wait on the disk, up to the limit, while the store takes them.
 */
export class StepLogWriter {
  readonly #options: StepLogOptions;
  #held: string[] = [];
  #heldBytes = 0;
  #chunk: { readonly number: number; readonly path: string; readonly file: number; bytes: number } | undefined;
  #chunks = 0;
  #bytes = 0;
  #lines = 0;
  #cutLines = 0;
  #uploads: Promise<void> = Promise.resolve();
  #failed: WorkerError | undefined;
  readonly #stopped = new AbortController();

  constructor(options: StepLogOptions) {
    this.#options = options;
  }

  /** Lines that were not kept: beyond the limit. */
  get cutLines(): number {
    return this.#cutLines;
  }

  write({ step, stream, text, timeMs }: StepLine): void {
    const line = `${JSON.stringify({ timeMs, step, stream, text })}\n`;
    const bytes = Buffer.byteLength(line);
    if (this.#bytes + bytes > this.#options.maxBytes || this.#failed !== undefined) {
      this.#cutLines += 1;
      return;
    }
    this.#bytes += bytes;
    this.#lines += 1;
    this.#held.push(line);
    this.#heldBytes += bytes;
    if (this.#heldBytes >= HELD_BYTES) this.#spill();
  }

  /**
   * Where the log is, once all of it is in the store; undefined when nothing was printed. What the store does not take is worth
   * a warning: the build is no worse for it.
   */
  async close({ signal }: Cancelable): Promise<string | undefined> {
    if (this.#lines === 0) return undefined;
    const { directory, log, prefix, store } = this.#options;
    const stop = () => {
      this.#stopped.abort(signal.reason);
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      this.#spill();
      this.#endChunk();
      await this.#uploads;
      if (this.#failed !== undefined) throw this.#failed;
      const index = {
        version: 1,
        chunks: this.#chunks,
        bytes: this.#bytes,
        lines: this.#lines,
        cutLines: this.#cutLines,
      };
      const key = `${prefix}/index.json`;
      await store.put(key, `${JSON.stringify(index)}\n`, { contentType: 'application/json', signal });
      return store.urlOf(key);
    } catch (thrown) {
      log.warn({ prefix, reason: messageOf(thrown) }, 'the log of the steps is not complete in the store');
      return undefined;
    } finally {
      signal.removeEventListener('abort', stop);
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** Synchronous, into the page cache: order is kept and memory bounded without a queue of writes. */
  #spill(): void {
    if (this.#held.length === 0) return;
    try {
      const chunk = this.#chunk ?? this.#openChunk();
      this.#chunk = chunk;
      writeSync(chunk.file, this.#held.join(''));
      chunk.bytes += this.#heldBytes;
      if (chunk.bytes >= this.#options.chunkBytes) this.#endChunk();
    } catch (thrown) {
      this.#failed ??= toWorkerError(thrown, 'keep the log');
    }
    this.#held = [];
    this.#heldBytes = 0;
  }

  #openChunk() {
    const number = ++this.#chunks;
    mkdirSync(this.#options.directory, { recursive: true });
    const path = join(this.#options.directory, chunkName(number));
    return { number, path, file: openSync(path, 'w'), bytes: 0 };
  }

  #endChunk(): void {
    const chunk = this.#chunk;
    if (chunk === undefined) return;
    this.#chunk = undefined;
    closeSync(chunk.file);
    this.#uploads = this.#uploads.then(() => this.#upload(chunk.number, chunk.path));
  }

  async #upload(number: number, path: string): Promise<void> {
    const { prefix, store } = this.#options;
    try {
      const { signal } = this.#stopped;
      await store.putFile(`${prefix}/${chunkName(number)}`, path, { contentType: 'application/x-ndjson', signal });
      await rm(path, { force: true });
    } catch (thrown) {
      this.#failed ??= toWorkerError(thrown, 'keep the log');
    }
  }
}

function chunkName(number: number): string {
  return `${String(number).padStart(5, '0')}.jsonl`;
}
