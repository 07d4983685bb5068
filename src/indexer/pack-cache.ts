import { randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Limits } from '../config/index.ts';
import { type Digest, type Expected, hexOf } from '../digest/index.ts';
import { type Cancelable, systemCodeOf } from '../errors/index.ts';
import { makeDirectory, removeQuietly } from '../files/index.ts';
import { publishEntry, removeEntry, temporaryEntry } from './entry-folder.ts';
import { hashFile } from './hash-file.ts';
import {
  nameOfKey,
  PACK_FILES,
  PACK_FOLDERS,
  type PackDocument,
  type PackKey,
  parsePackDocument,
  passesUnder,
} from './pack-entry.ts';
import type { LayerResult } from './results.ts';
import type { SharedPacks } from './shared-packs.ts';

export interface PackEntry {
  readonly layer: LayerResult;
  readonly indexPath: string;
  /** What the index was when it was put. */
  readonly index: Expected;
  /** The packed blob; absent when it was cleaned up or the layer was kept. */
  readonly blobPath: string | undefined;
}

export interface PackCacheOptions extends Cancelable {
  readonly root: string;
  /** A folder of the job on the cache's file system: what the job uses gets a second name there and stays until it ends. */
  readonly pinDir: string;
  /** What a layer may cost now: an entry that was read under wider limits does not serve, its layer is read again. */
  readonly limits: Limits;
  /** Asked before packing, told afterwards. */
  readonly shared?: SharedPacks | undefined;
}

/**
 * Pack results by key in one directory, shared by processes without locks: an entry appears by one rename, is never changed
 * and leaves by one rename. A blob may be missing (cleaned up); the index then still serves for a blob the registry has.
 * Nothing is proven here: the assembler refuses a damaged index, the registry a damaged blob, and both are then dropped.
 *
 * ```
 * packs/<key>/layer.json, index      blobs/<hex>      tmp/
 * ```
 */
export class PackCache implements AsyncDisposable {
  readonly #options: PackCacheOptions;
  readonly #sharing: Promise<void>[] = [];
  /** What this job found: asked once, also when it was not there. */
  readonly #found = new Map<string, Promise<PackEntry | undefined>>();

  constructor(options: PackCacheOptions) {
    this.#options = options;
  }

  /** Waits for what is still on its way to the shared cache. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sharing);
  }

  /** undefined when there is no entry, here or in the shared cache, or it cannot be read: then the layer is packed. */
  async get(key: PackKey): Promise<PackEntry | undefined> {
    const name = nameOfKey(key);
    const found = this.#found.get(name) ?? this.#find(name);
    this.#found.set(name, found);
    return await found;
  }

  /** Paths for a pack that is about to run; they are on the cache's filesystem, so `put` only renames. */
  async scratch(): Promise<{ index: string; blob: string }> {
    const path = await temporaryEntry(this.#options.root);
    return { index: `${path}.idx`, blob: `${path}.blob` };
  }

  /** Takes finished files over. Another process may have put the same entry meanwhile; theirs then stays. */
  async put(
    key: PackKey,
    layer: LayerResult,
    files: { readonly index: string; readonly blob?: string },
  ): Promise<PackEntry> {
    const { limits, shared, signal } = this.#options;
    const name = nameOfKey(key);
    const index = await hashFile(files.index, { signal });
    const document: PackDocument = {
      version: 1,
      key: { ...key, compression: { ...key.compression } },
      limits: { ...limits },
      layer,
      index,
    };
    // Pinned before others can see them, and under names of their own: what is pinned already may be what was damaged.
    const pins = { index: await this.#pinPath(), blob: await this.#pinPath() };
    await linkOrCopy(files.index, pins.index);
    if (files.blob !== undefined) {
      await linkOrCopy(files.blob, pins.blob);
      await makeDirectory(join(this.#options.root, PACK_FOLDERS.blobs));
      await rename(files.blob, this.#blobPath(layer.digest));
    }
    await this.#publish(name, document, files.index);
    if (shared !== undefined) this.#sharing.push(shared.store(name, document, pins.index, { signal }));
    const entry = { layer, index, indexPath: pins.index, blobPath: files.blob === undefined ? undefined : pins.blob };
    this.#found.set(name, Promise.resolve(entry));
    return entry;
  }

  /** Drops an entry that turned out damaged, and with `blob` the packed blob too. */
  async drop(key: PackKey, { blob }: { readonly blob?: Digest } = {}): Promise<void> {
    this.#found.delete(nameOfKey(key));
    await removeEntry({ root: this.#options.root, folder: PACK_FOLDERS.entries, name: nameOfKey(key) });
    if (blob !== undefined) await rm(this.#blobPath(blob), { force: true });
  }

  async #find(name: string): Promise<PackEntry | undefined> {
    return (await this.#pinned(name)) ?? ((await this.#fetch(name)) ? await this.#pinned(name) : undefined);
  }

  /** Only where it is used does an entry count as used: gc removes the longest unused first. */
  async #pinned(name: string): Promise<PackEntry | undefined> {
    const directory = join(this.#options.root, PACK_FOLDERS.entries, name);
    try {
      const documentPath = join(directory, PACK_FILES.document);
      const document = parsePackDocument(await readFile(documentPath, 'utf8'), name);
      if (document === undefined || !passesUnder(document, this.#options.limits)) return undefined;
      const indexPath = await this.#pinPath();
      await linkOrCopy(join(directory, PACK_FILES.index), indexPath);
      if ((await stat(indexPath)).size !== document.index.sizeBytes) return undefined;
      const now = new Date();
      await utimes(documentPath, now, now).catch(() => undefined); // it may be gone by now; what is pinned stays
      const blobPath = document.key.action === 'pack' ? await this.#pinnedBlob(document.layer) : undefined;
      return { layer: document.layer, index: document.index, indexPath, blobPath };
    } catch {
      return undefined;
    }
  }

  async #pinnedBlob(layer: LayerResult): Promise<string | undefined> {
    try {
      const path = await this.#pinPath();
      await linkOrCopy(this.#blobPath(layer.digest), path);
      return (await stat(path)).size === layer.sizeBytes ? path : undefined;
    } catch {
      return undefined;
    }
  }

  async #fetch(name: string): Promise<boolean> {
    const { shared, signal } = this.#options;
    if (shared === undefined) return false;
    const { index } = await this.scratch();
    try {
      const document = await shared.fetch(name, index, { signal });
      if (document === undefined) return false;
      await this.#publish(name, document, index);
      return true;
    } finally {
      await removeQuietly(index);
    }
  }

  async #publish(name: string, document: PackDocument, indexFile: string): Promise<void> {
    const { root } = this.#options;
    const staged = `${indexFile}.d`;
    await mkdir(staged);
    await rename(indexFile, join(staged, PACK_FILES.index));
    await writeFile(join(staged, PACK_FILES.document), `${JSON.stringify(document)}\n`);
    await publishEntry(staged, { root, folder: PACK_FOLDERS.entries, name }, async () => {
      return (await this.#pinned(name)) !== undefined;
    });
  }

  #blobPath(digest: Digest): string {
    return join(this.#options.root, PACK_FOLDERS.blobs, hexOf(digest));
  }

  async #pinPath(): Promise<string> {
    await makeDirectory(this.#options.pinDir);
    return join(this.#options.pinDir, randomUUID());
  }
}

/** Gives a file a second name, or copies it where links do not reach (another owner, another file system). */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') throw thrown;
    await copyFile(from, to);
  }
}
