import { EventEmitter, once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Expected } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import { filePieces } from './file-pieces.ts';

/** How far a blob has come. */
export interface Growth {
  /** These bytes stand in the file and do not change any more. */
  readonly writtenBytes: number;
  /** Known when the blob is whole. */
  readonly final: Expected | undefined;
}

/**
 * A blob that somebody is still writing: its bytes can be sent before its digest is known. The writer says how far it is;
 * the reader holds the file open, so that it may be moved or removed meanwhile.
 */
export class GrowingBlob implements Disposable {
  readonly #path: string;
  readonly #file: number;
  readonly #changes = new EventEmitter();
  #growth: Growth = { writtenBytes: 0, final: undefined };

  /** Opens at once and not in a moment: the writer's next word may be that the file has moved. */
  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'r');
    this.#changes.setMaxListeners(0);
  }

  get growth(): Growth {
    return this.#growth;
  }

  grew(writtenBytes: number): void {
    this.#growth = { ...this.#growth, writtenBytes };
    this.#changes.emit('change');
  }

  finish(final: Expected): void {
    this.#growth = { writtenBytes: final.sizeBytes, final };
    this.#changes.emit('change');
  }

  /** Waits until so many bytes are there, or all. */
  async atLeast(bytes: number, { signal }: Cancelable): Promise<Growth> {
    while (this.#growth.final === undefined && this.#growth.writtenBytes < bytes) {
      signal.throwIfAborted();
      try {
        await once(this.#changes, 'change', { signal });
      } catch (thrown) {
        signal.throwIfAborted();
        throw thrown;
      }
    }
    return this.#growth;
  }

  /** Bytes that are there, as `filePieces` gives them. Throws BLOB_MISMATCH when they are not, whatever the writer said. */
  bytes(start: number, end: number): AsyncIterable<Uint8Array> {
    return filePieces(this.#file, { start, end, path: this.#path });
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
