import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { systemCodeOf } from '../../errors/index.ts';
import { writeFileAtomically } from '../../files/index.ts';
import type { BuildResult } from '../../jobs/index.ts';

/** As many as an advertisement should carry. */
const MAX_LAYERS = 500;
const Stored = z.array(z.string()).max(MAX_LAYERS);

/** Base layers that builds on this machine used lately, and its BuildKit most likely has; kept in a file between runs. */
export class WarmLayers {
  readonly #path: string;
  readonly #layers: Set<string>;

  private constructor(path: string, layers: readonly string[]) {
    this.#path = path;
    this.#layers = new Set(layers);
  }

  /** A file that is missing or damaged is an empty one: it is only a hint. */
  static async open(path: string): Promise<WarmLayers> {
    try {
      return new WarmLayers(path, Stored.parse(JSON.parse(await readFile(path, 'utf8'))));
    } catch (thrown) {
      const isExpected =
        thrown instanceof SyntaxError || thrown instanceof z.ZodError || systemCodeOf(thrown) === 'ENOENT';
      if (!isExpected) throw thrown;
      return new WarmLayers(path, []);
    }
  }

  /** The least recently used first. */
  get digests(): readonly string[] {
    return [...this.#layers];
  }

  async used(result: BuildResult, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const kept = result.layers.filter(({ packed }) => packed === 'kept').map(({ digest }) => digest);
    if (kept.length === 0) return;
    for (const digest of kept) {
      this.#layers.delete(digest);
      this.#layers.add(digest);
    }
    for (const digest of this.#layers) {
      if (this.#layers.size <= MAX_LAYERS) break;
      this.#layers.delete(digest);
    }
    await writeFileAtomically(this.#path, JSON.stringify(this.digests), { signal });
  }
}
