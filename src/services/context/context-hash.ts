import { createHash, type Hash } from 'node:crypto';
import type { ContextFile } from '../../buildkit/index.ts';
import type { Digest } from '../../digest/index.ts';

/** What an image is made from, besides the files of its context. */
export interface BuildInput {
  readonly dockerfile: Uint8Array;
  readonly args: Readonly<Record<string, string>>;
  readonly target: string | undefined;
  /** A set; empty: the daemon's own. */
  readonly platforms: readonly string[];
  /** What the Dockerfile takes from registries, by name; undefined where no digest could be had. */
  readonly bases: Readonly<Record<string, string | undefined>>;
}

/** Raised when a part is added or means something else: all images are then built once more. */
const VERSION = 1;

/**
 * One digest of everything an image is made from. Times, owners, the order of readdir(3) and the place of the folder do not
 * count; a hard link counts as the file it is. Entries come one by one, sorted by the bytes of their paths.
 */
export class ContextHash {
  readonly #hash: Hash;
  /** Hard links have the content of their first name. */
  readonly #contents = new Map<string, string>();

  constructor({ args, bases, dockerfile, platforms, target }: BuildInput) {
    this.#hash = createHash('sha256');
    const document = {
      version: VERSION,
      args: sorted(args),
      target: target ?? null,
      platforms: [...new Set(platforms)].sort(),
      bases: sorted(bases),
    };
    this.#hash.update(`${JSON.stringify(document)}\0${dockerfile.length}\0`).update(dockerfile);
  }

  /** `content` is the sha256 of a file's bytes, in hex; only a file has one. */
  add(file: ContextFile, content: string | undefined): void {
    const path = file.path.toString('latin1');
    if (content !== undefined && file.stats.nlink > 1n) this.#contents.set(path, content);
    // No path and no link target holds a NUL, so records cannot run into each other.
    this.#hash
      .update(`\0${this.#kindOf(file, content)}\0`)
      .update(file.path)
      .update('\0');
    if (file.type === 'symbolicLink') this.#hash.update(file.linkName ?? Buffer.alloc(0));
  }

  digest(): Digest {
    return `sha256:${this.#hash.digest('hex')}` as Digest;
  }

  #kindOf(file: ContextFile, content: string | undefined): string {
    switch (file.type) {
      case 'file':
        return `file ${file.mode.toString(8)} ${content ?? ''}`;
      case 'hardLink':
        return `file ${file.mode.toString(8)} ${this.#contents.get(file.linkName?.toString('latin1') ?? '') ?? ''}`;
      case 'symbolicLink':
        return 'link'; // its mode is always the same
      case 'directory':
      case 'pipe':
        return `${file.type} ${file.mode.toString(8)}`;
      case 'character':
      case 'block':
        return `${file.type} ${file.mode.toString(8)} ${file.device?.major ?? 0}:${file.device?.minor ?? 0}`;
    }
  }
}

function sorted(values: Readonly<Record<string, string | undefined>>): readonly (readonly [string, string | null])[] {
  return Object.entries(values)
    .map(([name, value]) => [name, value ?? null] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
