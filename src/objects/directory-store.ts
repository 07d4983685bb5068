import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { type Digest, digestOf, verify } from '../digest/index.ts';
import { type Cancelable, type ErrorCode, systemCodeOf, toWorkerError, WorkerError } from '../errors/index.ts';
import { lockFile, makeDirectory, removeQuietly, stageFile } from '../files/index.ts';
import { EtagCache } from './etag-cache.ts';
import { requireKey } from './key.ts';
import type {
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectRange,
  ObjectStore,
  PutOptions,
  StoreAccess,
} from './object-store.ts';
import { resolveRange } from './range.ts';

const LOCK_WAIT_MS = 30_000;
/** A temporary file this old belongs to nobody any more. */
const STALE_MS = 24 * 60 * 60 * 1000;

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'STORE_OBJECT_NOT_FOUND',
  EISDIR: 'STORE_CONFLICT',
  ENOTDIR: 'STORE_CONFLICT',
  EEXIST: 'STORE_CONFLICT',
  ENOTEMPTY: 'STORE_CONFLICT',
  EACCES: 'STORE_DENIED',
  EPERM: 'STORE_DENIED',
  EROFS: 'STORE_DENIED',
};

/**
 * Objects as files below a directory. Every change goes through one lock, so that conditions hold between processes; readers
 * take none, because files only ever appear and change by rename. The etag is the content's sha256.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly #directory: string;
  readonly #etags = new EtagCache();
  #swept = false;

  constructor(directory: string) {
    this.#directory = directory;
    this.url = pathToFileURL(directory).href;
  }

  urlOf(key: string): string {
    return pathToFileURL(join(this.#directory, key)).href;
  }

  async check({ signal }: Cancelable): Promise<void> {
    await this.#doing(`open ${this.url}`, signal, async () => {
      await makeDirectory(this.#directory);
      await using _probe = await stageFile(this.#temporary, '', { signal });
    });
  }

  async head(key: string, { signal }: Cancelable): Promise<ObjectInfo | undefined> {
    return await this.#doing(`look at ${this.urlOf(key)}`, signal, async () => {
      const handle = await openOrNothing(this.#pathOf(key));
      if (handle === undefined) return undefined;
      try {
        return await this.#infoOf(handle, { signal });
      } finally {
        await handle.close();
      }
    });
  }

  async get(key: string, { range, signal }: Cancelable & { readonly range?: ObjectRange }): Promise<ObjectBody> {
    const what = `read ${this.urlOf(key)}`;
    return await this.#doing(what, signal, async () => {
      const handle = await openOrNothing(this.#pathOf(key));
      if (handle === undefined)
        throw new WorkerError('STORE_OBJECT_NOT_FOUND', `${this.urlOf(key)} is not there`, { key });
      try {
        const info = await this.#infoOf(handle, { signal });
        const { start, end } = resolveRange(range, info.sizeBytes, what);
        if (start === end) {
          await handle.close();
          return { ...info, offset: start, body: Readable.from([], { objectMode: false }) };
        }
        return { ...info, offset: start, body: handle.createReadStream({ start, end: end - 1, signal }) };
      } catch (thrown) {
        await handle.close();
        throw thrown;
      }
    });
  }

  async put(key: string, content: Uint8Array | string, options: PutOptions): Promise<{ readonly etag: string }> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const sha256 = digestOf(bytes);
    requireDigest(this.urlOf(key), sha256, options.sha256);
    return await this.#put(key, bytes, sha256, options);
  }

  async putFile(key: string, path: string, options: PutOptions): Promise<{ readonly etag: string }> {
    const what = `read ${path}`;
    const { size } = await stat(path).catch((thrown: unknown) => {
      throw toWorkerError(thrown, what);
    });
    const sha256 = options.sha256 ?? (await this.#etags.hash(createReadStream(path), options));
    const through = verify({ digest: sha256, sizeBytes: size });
    return await this.#put(key, createReadStream(path), sha256, options, through);
  }

  async *list(prefix: string, { signal }: Cancelable): AsyncGenerator<ListedObject> {
    const folder = prefix.includes('/') ? prefix.slice(0, prefix.lastIndexOf('/')) : '';
    if (folder !== '') requireKey(folder);
    for await (const key of this.#walk(folder, { signal })) {
      if (!key.startsWith(prefix)) continue;
      const stats = await stat(join(this.#directory, key)).catch(() => undefined); // deleted since
      if (stats?.isFile() === true) yield { key, sizeBytes: stats.size, modifiedMs: stats.mtimeMs };
    }
  }

  readAddress(): Promise<undefined> {
    return Promise.resolve(undefined); // a file has a path, and no address that others could use
  }

  access(): Promise<StoreAccess> {
    return Promise.resolve({ kind: 'directory', path: this.#directory });
  }

  /** A file that is written to is as old as its last byte. */
  async dropUnfinished(begunBeforeMs: number, { signal }: Cancelable): Promise<number> {
    return await this.#doing(`clear ${this.url}`, signal, () => this.#removeTemporary(begunBeforeMs));
  }

  async delete(key: string, { signal }: Cancelable): Promise<void> {
    const path = this.#pathOf(key);
    await this.#doing(`delete ${this.urlOf(key)}`, signal, async () => {
      await using _lock = await this.#lock({ signal });
      await rm(path, { force: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open between calls.
  }

  get #temporary(): string {
    return join(this.#directory, '.tmp');
  }

  #pathOf(key: string): string {
    requireKey(key);
    return join(this.#directory, key);
  }

  async #lock({ signal }: Cancelable): Promise<AsyncDisposable> {
    await makeDirectory(this.#directory);
    return await lockFile(join(this.#directory, '.lock'), { signal, waitMs: LOCK_WAIT_MS, code: 'STORE_UNAVAILABLE' });
  }

  async #put(
    key: string,
    content: Readable | Uint8Array,
    sha256: Digest,
    { signal, ifNoneMatch, ifMatch }: PutOptions,
    through?: ReturnType<typeof verify>,
  ): Promise<{ readonly etag: string }> {
    const path = this.#pathOf(key);
    return await this.#doing(`write ${this.urlOf(key)}`, signal, async () => {
      await this.#sweep();
      // The bytes are written outside the lock: only the change of name is inside.
      await using staged = await stageFile(this.#temporary, content, {
        signal,
        ...(through === undefined ? {} : { through }),
      });
      await using _lock = await this.#lock({ signal });
      await makeDirectory(dirname(path));
      if (ifMatch !== undefined) {
        const current = await this.head(key, { signal });
        if (current?.etag !== ifMatch)
          throw new WorkerError('STORE_CONFLICT', `${this.urlOf(key)} is another one now`, { key });
      }
      await staged.publish(path, { exclusive: ifNoneMatch === '*' });
      return { etag: etagOf(sha256) };
    });
  }

  async #infoOf(handle: FileHandle, { signal }: Cancelable): Promise<ObjectInfo> {
    const { sizeBytes, sha256 } = await this.#etags.of(handle, { signal });
    return { sizeBytes, sha256, etag: etagOf(sha256) };
  }

  async *#walk(folder: string, { signal }: Cancelable): AsyncGenerator<string> {
    signal.throwIfAborted();
    const entries = await readdir(join(this.#directory, folder), { withFileTypes: true }).catch((thrown: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(thrown) ?? '')) return [];
      throw thrown;
    });
    for (const entry of entries) {
      if (folder === '' && entry.name.startsWith('.')) continue;
      const key = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) yield* this.#walk(key, { signal });
      else yield key;
    }
  }

  /** Removes what a killed writer left, once in a store's life. */
  async #sweep(): Promise<void> {
    if (this.#swept) return;
    this.#swept = true;
    await this.#removeTemporary(Date.now() - STALE_MS);
  }

  async #removeTemporary(writtenBeforeMs: number): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#temporary).catch(() => [])) {
      const path = join(this.#temporary, name);
      const stats = await stat(path).catch(() => undefined);
      if (stats === undefined || stats.mtimeMs >= writtenBeforeMs) continue;
      await removeQuietly(path);
      removed += 1;
    }
    return removed;
  }

  async #doing<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (thrown) {
      signal.throwIfAborted();
      const systemCode = systemCodeOf(thrown);
      const code = thrown instanceof WorkerError || systemCode === undefined ? undefined : CODES[systemCode];
      if (code === undefined) throw toWorkerError(thrown, what);
      throw new WorkerError(code, `${what}: ${systemCode ?? ''}`, {}, { cause: thrown });
    }
  }
}

function etagOf(sha256: Digest): string {
  return `"${sha256}"`;
}

function requireDigest(what: string, actual: Digest, wanted: Digest | undefined): void {
  if (wanted !== undefined && wanted !== actual)
    throw new WorkerError('BLOB_MISMATCH', `${what}: the content has digest ${actual} instead of ${wanted}`, {
      digest: wanted,
    });
}

/** A folder is no object. */
async function openOrNothing(path: string): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(thrown) ?? '')) return undefined;
    throw thrown;
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  return undefined;
}
