import { randomFrom } from './random.ts';

/** Larger than the window of any compressor here: what repeats, repeats out of its sight. */
const POOL_BYTES = 16 * 1024 * 1024;

export type Kind = 'text' | 'binary' | 'packed';

/**
 * Bytes that compress as an image's do: sources and documents (to about a fifth), programs (to about a half), media and
 * archives (not at all). Files are slices of three pools, so that a gigabyte is made as fast as a disk takes it.
 */
export class Contents {
  readonly #pools: Readonly<Record<Kind, Buffer>>;

  constructor(seed: number) {
    this.#pools = { text: textPool(seed), binary: binaryPool(seed + 1), packed: packedPool(seed + 2) };
  }

  /** `sizeBytes` bytes in slices of the pool, the first from `offset` on. */
  *slices(kind: Kind, offset: number, sizeBytes: number): Generator<Buffer> {
    const pool = this.#pools[kind];
    let at = offset % pool.length;
    for (let left = sizeBytes; left > 0; at = 0) {
      const slice = pool.subarray(at, Math.min(pool.length, at + left));
      left -= slice.length;
      yield slice;
    }
  }
}

function textPool(seed: number): Buffer {
  const random = randomFrom(seed);
  const letters = 'etaoinshrdlucmfwypvbgkjqxz_';
  const words = Array.from({ length: 1200 }, () =>
    Array.from({ length: 2 + Math.floor(random() * 9) }, () => letters[Math.floor(random() ** 2 * 27)]).join(''),
  );
  const signs = [' ', ' ', ' ', ' ', '(', ') ', ' = ', ', ', ';\n', '\n  ', '.', ': '];
  const pool = Buffer.allocUnsafe(POOL_BYTES);
  for (let at = 0; at < POOL_BYTES; ) {
    const word = words[Math.floor(random() ** 4 * words.length)] ?? '';
    const sign = signs[Math.floor(random() * signs.length)] ?? '';
    at += pool.write(`${word}${sign}`, at, 'latin1');
  }
  return pool;
}

/** Like machine code and tables: short patterns that come again with other operands, and runs of zeros. */
function binaryPool(seed: number): Buffer {
  const random = randomFrom(seed);
  const patterns = Array.from({ length: 512 }, () => Array.from({ length: 8 }, () => Math.floor(random() * 256)));
  const pool = Buffer.alloc(POOL_BYTES);
  for (let at = 0; at < POOL_BYTES; at += 8) {
    if (random() < 0.1) continue;
    const pattern = patterns[Math.floor(random() ** 2 * patterns.length)] ?? [];
    for (let byte = 0; byte < 8; byte++) pool[at + byte] = byte < 7 ? (pattern[byte] ?? 0) : Math.floor(random() * 256);
  }
  return pool;
}

function packedPool(seed: number): Buffer {
  const random = randomFrom(seed);
  const pool = Buffer.allocUnsafe(POOL_BYTES);
  for (let at = 0; at < POOL_BYTES; at += 4) pool.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
  return pool;
}
