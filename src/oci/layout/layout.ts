import { randomBytes } from 'node:crypto';
import { chmod, link, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type Digest, digestOf, type Expected, hexOf, isDigest, verify } from '../../digest/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import {
  lockFile,
  makeDirectory,
  removeQuietly,
  syncDirectory,
  syncFile,
  writeFileAtomically,
} from '../../files/index.ts';
import { REF_NAME_ANNOTATION } from '../annotations.ts';
import { canonicalJson } from '../canonical-json.ts';
import type { Descriptor } from '../descriptor.ts';
import { type Index, parseIndex } from '../manifest.ts';
import { MEDIA_TYPES } from '../media-types.ts';
import { collectGarbage, type LayoutGarbage } from './gc.ts';
import { type LayoutReport, verifyLayout } from './verify.ts';

const LOCK_WAIT_MS = 10_000;
const INDEX_LOCK_WAIT_MS = 30_000;
const EMPTY_INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] };
/** Errors of link(2) that say "not here", after which the caller copies instead. */
const LINK_REFUSALS: ReadonlySet<string | undefined> = new Set([
  'EXDEV',
  'EPERM',
  'EACCES',
  'ENOENT',
  'EMLINK',
  'ENOTSUP',
  'ENOSYS',
]);

/**
 * A directory in OCI image layout (OCI image-spec 1.1, image-layout.md). A blob is there whole or not at all; a writer holds
 * `lock()` from its first blob to its tag, because `gc()` removes what no tag reaches.
 */
export class OciLayout {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Throws LAYOUT_NOT_FOUND when there is none (and it is not to be made), LAYOUT_INVALID when it is something else. */
  static async open(
    directory: string,
    { create = false, signal }: Cancelable & { readonly create?: boolean },
  ): Promise<OciLayout> {
    const layout = new OciLayout(directory);
    if (create) await layout.#create({ signal });
    await layout.#check();
    return layout;
  }

  /** Where the blob lies, whether it is there or not. */
  blobPath(digest: Digest): string {
    return join(this.directory, 'blobs', 'sha256', hexOf(digest));
  }

  /** A path on the layout's file system for a file that is not finished; `adoptFile` takes it, `gc` removes it. */
  async temporaryPath(label = 'blob'): Promise<string> {
    await makeDirectory(this.#ingest);
    return join(this.#ingest, `${label}.${randomBytes(8).toString('hex')}.tmp`);
  }

  /** Whether a blob of this digest and size is there; its bytes are not read. */
  async hasBlob({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean> {
    return (await sizeOf(this.blobPath(digest))) === size;
  }

  /** Stores a blob after proving its bytes. Throws BLOB_MISMATCH. A blob that is there is replaced, which heals a damaged one. */
  async addBlob(source: Readable | Uint8Array, expected: Expected, { signal }: Cancelable): Promise<void> {
    await this.#doing(`add blob ${expected.digest}`, signal, async () => {
      await writeFileAtomically(this.blobPath(expected.digest), source, {
        temporaryDir: this.#ingest,
        through: verify(expected),
        signal,
      });
    });
  }

  /** Moves a finished file in. Its size is checked; its digest is the word of whoever wrote it. Throws BLOB_MISMATCH. */
  async adoptFile(path: string, expected: Expected): Promise<void> {
    await this.#doing(`adopt blob ${expected.digest}`, undefined, async () => {
      await requireSize(path, expected);
      await chmod(path, 0o644);
      await syncFile(path);
      await rename(path, this.blobPath(expected.digest));
      await syncDirectory(this.#blobs);
    });
  }

  /**
   * Adds a blob by link(2), its bytes shared with the other name and not read. False when the file system, permissions or
   * absence of the file forbid it. Throws BLOB_MISMATCH when the file has another size.
   */
  async linkFile(path: string, expected: Expected): Promise<boolean> {
    return await this.#doing(`link blob ${expected.digest}`, undefined, async () => {
      const target = this.blobPath(expected.digest);
      if ((await sizeOf(path)) === undefined) return false;
      await requireSize(path, expected);
      const temporary = await this.temporaryPath();
      try {
        // By way of a temporary name, so that a damaged blob of the same name is replaced.
        await link(path, temporary);
      } catch (thrown) {
        if (LINK_REFUSALS.has(systemCodeOf(thrown))) return false;
        throw thrown;
      }
      await rename(temporary, target);
      // rename(2) does nothing when both names are one file already.
      await removeQuietly(temporary);
      await syncDirectory(this.#blobs);
      return true;
    });
  }

  /** Stores a manifest or index and describes it. */
  async putManifest(bytes: Uint8Array, mediaType: string, { signal }: Cancelable): Promise<Descriptor> {
    const digest = digestOf(bytes);
    await this.addBlob(bytes, { digest, sizeBytes: bytes.length }, { signal });
    return { mediaType, digest, size: bytes.length };
  }

  /** The verified bytes of a small blob. Throws BLOB_MISSING, BLOB_MISMATCH, LIMIT_EXCEEDED. */
  async readBlob(
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    { maxBytes, signal }: Cancelable & { readonly maxBytes: number },
  ): Promise<Uint8Array> {
    if (size > maxBytes)
      throw new WorkerError('LIMIT_EXCEEDED', `blob ${digest}: ${size} bytes, at most ${maxBytes} are read`);
    return await this.#doing(`read blob ${digest}`, signal, async () => {
      const path = this.blobPath(digest);
      if ((await sizeOf(path)) === undefined)
        throw new WorkerError('BLOB_MISSING', `blob ${digest} is not in ${this.directory}`, { digest });
      await requireSize(path, { digest, sizeBytes: size });
      const bytes = await readFile(path, { signal });
      const actual = digestOf(bytes);
      if (actual !== digest)
        throw new WorkerError('BLOB_MISMATCH', `blob ${digest} in ${this.directory} has digest ${actual}`, { digest });
      return bytes;
    });
  }

  /** The entries of `index.json`. Throws LAYOUT_INVALID. */
  async index(): Promise<Index> {
    const bytes = await this.#read('index.json');
    try {
      return parseIndex(bytes);
    } catch (cause) {
      throw new WorkerError(
        'LAYOUT_INVALID',
        `${this.directory}: index.json: ${cause instanceof Error ? cause.message : ''}`,
        {},
        { cause },
      );
    }
  }

  /** Names a manifest; another one of the same name loses it. What the name pointed to before stays until `gc`. */
  async setTag(name: string, descriptor: Descriptor, { signal }: Cancelable): Promise<void> {
    await this.#doing(`tag ${name}`, signal, async () => {
      await using _lock = await lockFile(join(this.directory, '.index.lock'), {
        signal,
        waitMs: INDEX_LOCK_WAIT_MS,
        code: 'LAYOUT_LOCKED',
      });
      const index = await this.index();
      const others = index.manifests.filter(({ annotations }) => annotations?.[REF_NAME_ANNOTATION] !== name);
      const named = { ...descriptor, annotations: { ...descriptor.annotations, [REF_NAME_ANNOTATION]: name } };
      await this.#write('index.json', { ...index, manifests: [...others, named] }, { signal });
    });
  }

  /** The entry of that name or digest; without one the only entry, or `latest`. Throws LAYOUT_NOT_FOUND. */
  async resolve(name?: string): Promise<Descriptor> {
    const { manifests } = await this.index();
    const [only] = manifests;
    if (name === undefined && manifests.length === 1 && only !== undefined) return only;
    const wanted = name ?? 'latest';
    const found = manifests.find(({ annotations, digest }) =>
      isDigest(wanted) ? digest === wanted : annotations?.[REF_NAME_ANNOTATION] === wanted,
    );
    if (found !== undefined) return found;
    const names = manifests.flatMap(({ annotations }) => annotations?.[REF_NAME_ANNOTATION] ?? []);
    throw new WorkerError(
      'LAYOUT_NOT_FOUND',
      `${this.directory} has no ${wanted}; there is ${names.join(', ') || 'no name'}`,
      { names },
    );
  }

  /** Reads and checks everything the tags reach. Problems are reported, not thrown. */
  async verify({ signal }: Cancelable): Promise<LayoutReport> {
    return await this.#doing('verify layout', signal, () => verifyLayout(this, { signal }));
  }

  /** Removes blobs that no tag reaches and unfinished files, under the lock. Throws LAYOUT_LOCKED, and LAYOUT_INVALID when what is reached cannot be known. */
  async gc({ signal, dryRun = false }: Cancelable & { readonly dryRun?: boolean }): Promise<LayoutGarbage> {
    await using _lease = await this.lock({ signal });
    return await this.#doing('collect garbage', signal, () =>
      collectGarbage(this, { ingest: this.#ingest, blobs: this.#blobs, dryRun, signal }),
    );
  }

  /** Removes every name and blob and leaves an empty layout. Throws LAYOUT_LOCKED at once when somebody writes to it. */
  async clear({ signal, dryRun = false }: Cancelable & { readonly dryRun?: boolean }): Promise<void> {
    await using _lease = await this.lock({ signal, waitMs: 0 });
    if (dryRun) return;
    await this.#doing('clear', signal, async () => {
      await this.#write('index.json', EMPTY_INDEX, { signal });
      await collectGarbage(this, { ingest: this.#ingest, blobs: this.#blobs, dryRun, signal });
    });
  }

  /** The right to write, until disposed of; it ends with the process however that dies. Throws LAYOUT_LOCKED. */
  async lock({ signal, waitMs = LOCK_WAIT_MS }: Cancelable & { readonly waitMs?: number }): Promise<AsyncDisposable> {
    return await lockFile(join(this.directory, '.lock'), { signal, waitMs, code: 'LAYOUT_LOCKED' });
  }

  get #blobs(): string {
    return join(this.directory, 'blobs', 'sha256');
  }

  get #ingest(): string {
    return join(this.directory, '.ingest');
  }

  async #create({ signal }: Cancelable): Promise<void> {
    await this.#doing('make layout', signal, async () => {
      await makeDirectory(this.#blobs);
      // oci-layout last: where it stands, the rest does.
      await this.#writeNew('index.json', EMPTY_INDEX, { signal });
      await this.#writeNew('oci-layout', { imageLayoutVersion: '1.0.0' }, { signal });
    });
  }

  async #check(): Promise<void> {
    let version: unknown;
    try {
      const parsed: unknown = JSON.parse((await this.#read('oci-layout')).toString());
      version =
        typeof parsed === 'object' && parsed !== null && 'imageLayoutVersion' in parsed
          ? parsed.imageLayoutVersion
          : undefined;
    } catch (cause) {
      if (cause instanceof WorkerError) throw cause;
      throw new WorkerError('LAYOUT_INVALID', `${this.directory}: oci-layout is no JSON`, {}, { cause });
    }
    if (version !== '1.0.0')
      throw new WorkerError(
        'LAYOUT_INVALID',
        `${this.directory}: layout version ${JSON.stringify(version)}, not 1.0.0`,
      );
    await this.index();
  }

  async #read(name: string): Promise<Buffer> {
    try {
      return await readFile(join(this.directory, name));
    } catch (cause) {
      const systemCode = systemCodeOf(cause);
      if (systemCode === 'ENOENT' || systemCode === 'ENOTDIR') {
        throw new WorkerError(
          'LAYOUT_NOT_FOUND',
          `${this.directory} is no OCI layout: it has no ${name}`,
          {},
          { cause },
        );
      }
      throw toWorkerError(cause, `read ${name} of ${this.directory}`);
    }
  }

  async #write(name: string, value: unknown, options: Cancelable & { readonly exclusive?: boolean }): Promise<void> {
    await writeFileAtomically(join(this.directory, name), Buffer.from(canonicalJson(value)), {
      ...options,
      temporaryDir: this.#ingest,
    });
  }

  async #writeNew(name: string, value: unknown, { signal }: Cancelable): Promise<void> {
    if ((await sizeOf(join(this.directory, name))) !== undefined) return;
    try {
      await this.#write(name, value, { signal, exclusive: true });
    } catch (thrown) {
      if (systemCodeOf(thrown) !== 'EEXIST') throw thrown; // somebody else made it just now
    }
  }

  async #doing<T>(what: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      signal?.throwIfAborted();
      throw toWorkerError(thrown, `${what} in ${this.directory}`);
    }
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  const stats = await stat(path).catch((thrown: unknown) => {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    throw toWorkerError(thrown, `look at ${path}`);
  });
  return stats?.isFile() === true ? stats.size : undefined;
}

async function requireSize(path: string, { digest, sizeBytes }: Expected): Promise<void> {
  const { size } = await stat(path);
  if (size !== sizeBytes)
    throw new WorkerError('BLOB_MISMATCH', `blob ${digest}: ${path} has ${size} bytes instead of ${sizeBytes}`, {
      digest,
    });
}
