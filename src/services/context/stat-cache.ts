import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCodeOf } from '../../errors/index.ts';
import { writeFileAtomically } from '../../files/index.ts';

const CacheFile = z.object({ version: z.literal(1), files: z.record(z.string(), z.string()) });

/** A file that was written this shortly before it was read may be written again within one tick of its times. */
const RACY_NS = 2_000_000_000n;

/**
 * Digests of files by what lstat(2) says of them, as git's index keeps them: (device, inode, size, mtime, ctime). Whoever
 * changes a file changes its ctime, which nobody can set. Only what was asked for stays in it.
 */
export class StatCache {
  readonly #path: string;
  readonly #known: ReadonlyMap<string, string>;
  readonly #used = new Map<string, string>();
  #grew = false;

  private constructor(path: string, known: ReadonlyMap<string, string>) {
    this.#path = path;
    this.#known = known;
  }

  /** That of one context. One that is missing or damaged is empty. */
  static async open(directory: string, contextDir: string): Promise<StatCache> {
    const name = createHash('sha256').update(contextDir).digest('hex').slice(0, 32);
    const path = join(directory, `${name}.json`);
    return new StatCache(path, await readKnown(path));
  }

  get(stats: BigIntStats): string | undefined {
    const key = keyOf(stats);
    const content = this.#known.get(key);
    if (content !== undefined) this.#used.set(key, content);
    return content;
  }

  /** `readAtNs`: wall clock before the file was read. */
  set(stats: BigIntStats, content: string, readAtNs: bigint): void {
    if (stats.ctimeNs > readAtNs - RACY_NS || stats.mtimeNs > readAtNs - RACY_NS) return;
    this.#used.set(keyOf(stats), content);
    this.#grew = true;
  }

  /** Writes it where something is new or gone. It is only a cache: a disk that takes nothing fails nothing. */
  async save({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    if (!this.#grew && this.#used.size === this.#known.size) return;
    const document = { version: 1, files: Object.fromEntries(this.#used) };
    try {
      await writeFileAtomically(this.#path, JSON.stringify(document), { signal });
    } catch (thrown) {
      if (systemCodeOf(thrown) === undefined) throw thrown;
    }
  }
}

function keyOf({ ctimeNs, dev, ino, mtimeNs, size }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

async function readKnown(path: string): Promise<ReadonlyMap<string, string>> {
  try {
    return new Map(Object.entries(CacheFile.parse(JSON.parse(await readFile(path, 'utf8'))).files));
  } catch {
    return new Map();
  }
}
