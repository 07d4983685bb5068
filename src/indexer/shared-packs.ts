import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { hexOf, verify } from '../digest/index.ts';
import { type Cancelable, messageOf, WorkerError } from '../errors/index.ts';
import { type ObjectStore, readObject } from '../objects/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type PackDocument, parsePackDocument } from './pack-entry.ts';

/** A document is some hundred bytes. */
const MAX_DOCUMENT_BYTES = 1 << 20;
/** An index is megabytes; a store that needs longer costs more than packing again. */
const DEADLINE_MS = 30_000;

const keys = {
  document: (name: string) => `packs/${name}.json`,
  index: ({ index }: PackDocument) => `pack-indexes/${hexOf(index.digest)}`,
};

/**
 * Indexes of packed layers in an object store, for the machines that share it; the blobs are in the registry. Nothing here
 * fails a build: what goes wrong is a warning and a miss, and a store that does not work is left alone from then on.
 */
export class SharedPacks {
  readonly #store: ObjectStore;
  readonly #log: Log;
  #usable = true;

  constructor(store: ObjectStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Brings an index into a new file, proven by its digest. undefined when there is none, or none that is whole. */
  async fetch(name: string, indexPath: string, { signal }: Cancelable): Promise<PackDocument | undefined> {
    return await this.#attempt('fetch', name, signal, async (within) => {
      const document = await this.#document(name, within);
      if (document === undefined) return undefined;
      const { body } = await this.#store.get(keys.index(document), { signal: within });
      const sink = createWriteStream(indexPath, { flags: 'wx' });
      await pipeline(body, verify(document.index), sink, { signal: within });
      return document;
    });
  }

  /** The index first: a document that can be read has its index. */
  async store(name: string, document: PackDocument, indexPath: string, { signal }: Cancelable): Promise<void> {
    await this.#attempt('store', name, signal, async (within) => {
      const once = { ifNoneMatch: '*', signal: within } as const;
      await absentOr(() =>
        this.#store.putFile(keys.index(document), indexPath, { ...once, sha256: document.index.digest }),
      );
      const text = `${JSON.stringify(document)}\n`;
      await absentOr(() => this.#store.put(keys.document(name), text, { ...once, contentType: 'application/json' }));
    });
  }

  async #document(name: string, signal: AbortSignal): Promise<PackDocument | undefined> {
    if ((await this.#store.head(keys.document(name), { signal })) === undefined) return undefined;
    const { bytes } = await readObject(this.#store, keys.document(name), { signal, maxBytes: MAX_DOCUMENT_BYTES });
    const document = parsePackDocument(bytes, name);
    if (document !== undefined) return document;
    throw new WorkerError(
      'LAYER_INDEX_INVALID',
      `${this.#store.urlOf(keys.document(name))} is not the document of its key`,
    );
  }

  async #attempt<T>(
    doing: 'fetch' | 'store',
    name: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    if (!this.#usable) return undefined;
    try {
      return await work(AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]));
    } catch (thrown) {
      if (signal.aborted) return undefined;
      const warn = () => {
        const code = thrown instanceof WorkerError ? thrown.code : undefined;
        const failure = { doing, key: name, store: this.#store.url, code, reason: messageOf(thrown) };
        this.#log.warn(failure, 'shared pack cache failed');
      };
      if (isDamage(thrown)) {
        warn();
        await this.#forget(name, signal);
      } else this.#leave(warn);
      return undefined;
    }
  }

  /** Layers are packed side by side: of those that meet a broken store at once, one says it. */
  #leave(warn: () => void): void {
    if (this.#usable) warn();
    this.#usable = false;
  }

  /** What is damaged makes room, or the next good one could not be stored. */
  async #forget(name: string, signal: AbortSignal): Promise<void> {
    try {
      const document = await this.#document(name, signal).catch(() => undefined);
      await this.#store.delete(keys.document(name), { signal });
      if (document !== undefined) await this.#store.delete(keys.index(document), { signal });
    } catch (thrown) {
      this.#log.warn({ key: name, reason: messageOf(thrown) }, 'damaged shared pack could not be removed');
    }
  }
}

async function absentOr(put: () => Promise<unknown>): Promise<void> {
  try {
    await put();
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'STORE_CONFLICT') throw thrown; // else: another one was first
  }
}

/** One object is bad, the store itself works. */
function isDamage(thrown: unknown): boolean {
  return (
    thrown instanceof WorkerError &&
    ['BLOB_MISMATCH', 'LAYER_INDEX_INVALID', 'STORE_OBJECT_NOT_FOUND', 'LIMIT_EXCEEDED'].includes(thrown.code)
  );
}
