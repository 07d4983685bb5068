import { createHash, randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf } from '../digest/index.ts';
import { systemCodeOf } from '../errors/index.ts';
import type { Compression } from './compression.ts';
import { LayerResult } from './results.ts';

/** What decides a pack result: the same key always means the same bytes (design: deterministic packing). */
export interface PackKey {
  /** diffID of a plain layer that is packed, blob digest of one that is kept. */
  readonly source: Digest;
  readonly action: 'pack' | 'keep';
  readonly compression: Compression;
  /** Of the native tool: library, version and index format. */
  readonly encoder: string;
}

export interface PackEntry {
  readonly layer: LayerResult;
  readonly indexPath: string;
  /** The packed blob; absent when it was cleaned up or the layer was kept. */
  readonly blobPath: string | undefined;
}

/**
 * Pack results by key in one directory, shared by processes without locks: an entry appears by one rename and is never
 * changed. A blob may be missing (cleaned up); the index then still serves for a blob that the registry has.
 *
 * ```
 * packs/<key>/layer.json, index      blobs/<hex>      tmp/
 * ```
 */
export class PackCache {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  static keyOf(key: PackKey): string {
    const { codec, level, chunkBytes } = key.compression;
    const parts = key.action === 'pack' ? [codec, level, chunkBytes] : [chunkBytes];
    return createHash('sha256')
      .update(JSON.stringify([1, key.source, key.action, key.encoder, ...parts]))
      .digest('hex');
  }

  /** undefined when there is no entry or it cannot be read: then the layer is packed again. */
  async get(key: PackKey): Promise<PackEntry | undefined> {
    const directory = join(this.#root, 'packs', PackCache.keyOf(key));
    try {
      const layer = LayerResult.parse(JSON.parse(await readFile(join(directory, 'layer.json'), 'utf8')));
      const indexPath = join(directory, 'index');
      await stat(indexPath);
      return { layer, indexPath, blobPath: await this.#blobOf(layer) };
    } catch {
      return undefined;
    }
  }

  /** Paths for a pack that is about to run; they are on the cache's filesystem, so `put` only renames. */
  async scratch(): Promise<{ index: string; blob: string }> {
    const directory = join(this.#root, 'tmp');
    await mkdir(directory, { recursive: true });
    const name = `${process.pid}-${randomUUID()}`;
    return { index: join(directory, `${name}.idx`), blob: join(directory, `${name}.blob`) };
  }

  /** Takes finished files over. Another process may have put the same entry meanwhile; theirs then stays. */
  async put(
    key: PackKey,
    layer: LayerResult,
    files: { readonly index: string; readonly blob?: string },
  ): Promise<PackEntry> {
    const directory = join(this.#root, 'packs', PackCache.keyOf(key));
    if (files.blob !== undefined) {
      await mkdir(join(this.#root, 'blobs'), { recursive: true });
      await rename(files.blob, this.#blobPath(layer.digest));
    }
    const staged = `${files.index}.d`;
    await mkdir(staged);
    await mkdir(join(this.#root, 'packs'), { recursive: true });
    await rename(files.index, join(staged, 'index'));
    await writeFile(join(staged, 'layer.json'), `${JSON.stringify(layer)}\n`);
    await this.#publish(staged, directory, key);
    return {
      layer,
      indexPath: join(directory, 'index'),
      blobPath: files.blob === undefined ? undefined : this.#blobPath(layer.digest),
    };
  }

  /** One rename makes an entry; where one stands already it stays if it is whole, and makes room if a crash left it broken. */
  async #publish(staged: string, directory: string, key: PackKey): Promise<void> {
    try {
      await rename(staged, directory);
    } catch (thrown) {
      if (systemCodeOf(thrown) !== 'ENOTEMPTY' && systemCodeOf(thrown) !== 'EEXIST') throw thrown;
      if ((await this.get(key)) === undefined) {
        await this.drop(key);
        await this.#publish(staged, directory, key);
      } else await rm(staged, { recursive: true, force: true });
    }
  }

  /** Drops an entry that turned out damaged. */
  async drop(key: PackKey): Promise<void> {
    await rm(join(this.#root, 'packs', PackCache.keyOf(key)), { recursive: true, force: true });
  }

  async #blobOf(layer: LayerResult): Promise<string | undefined> {
    const path = this.#blobPath(layer.digest);
    try {
      const { size } = await stat(path);
      return size === layer.sizeBytes ? path : undefined;
    } catch {
      return undefined;
    }
  }

  #blobPath(digest: Digest): string {
    return join(this.#root, 'blobs', hexOf(digest));
  }
}

/** Gives a file a second name, or copies it where links do not reach (another filesystem). The target must be new. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'EEXIST') return;
    await copyFile(from, to);
  }
}
