import { blake3 } from '@noble/hashes/blake3.js';

/** A unit that is verified and cached. */
export interface Chunk {
  readonly plainBytes: number;
  /** BLAKE3 of its bytes. */
  readonly digest: Uint8Array;
}

/** Cuts a plain stream into chunks (docs/formats/archive.md, "Where chunks end"). */
export class ChunkTable {
  readonly #chunkBytes: number;
  readonly #chunks: Chunk[] = [];
  #hash = blake3.create({});
  #filled = 0;

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
  }

  /** Takes the next bytes; a chunk ends at each of the cuts, which are positions in them. */
  write(bytes: Buffer, cuts: readonly number[]): void {
    let at = 0;
    for (const cut of cuts) {
      this.#fill(bytes.subarray(at, cut));
      this.#end();
      at = cut;
    }
    this.#fill(bytes.subarray(at));
  }

  /** The stream is over: all its chunks. */
  finish(): readonly Chunk[] {
    this.#end();
    return this.#chunks;
  }

  #fill(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + this.#chunkBytes - this.#filled);
      this.#hash.update(part);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === this.#chunkBytes) this.#end();
    }
  }

  #end(): void {
    if (this.#filled === 0) return;
    this.#chunks.push({ plainBytes: this.#filled, digest: this.#hash.digest() });
    this.#hash = blake3.create({});
    this.#filled = 0;
  }
}
