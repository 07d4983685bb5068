/** How new layers are stored. */
export type Codec = 'zstd' | 'gzip' | 'none';

/** `auto`: zstd, its level chosen while the push shows how much time there is. */
export type Level = number | 'auto';

export interface Compression {
  readonly codec: Codec;
  readonly level: Level;
  /** Plain bytes of a frame and of a chunk, a power of two; see docs/formats/archive.md, "Where chunks end". */
  readonly chunkBytes: number;
}

/** 256 KiB: small enough that a cold start fetches little beside what it wants (docs/adr/0003-frame-size.md). */
export const DEFAULT_CHUNK_BYTES = 256 * 1024;

/** Level 1 of either codec: the pack stays at the speed of the disk, and zstd 1 is smaller than gzip 1. */
export const DEFAULT_LEVEL = 1;

export const LEVELS: Readonly<Record<Codec, { readonly min: number; readonly max: number }>> = {
  zstd: { min: 1, max: 19 },
  gzip: { min: 1, max: 9 },
  none: { min: 0, max: 9 },
};
