import { randomFrom } from './random.ts';

/** Larger than the window of any compressor here: what repeats, repeats out of its sight. */
const POOL_BYTES = 16 * 1024 * 1024;

export type Kind = 'text' | 'binary' | 'packed';

/**
 * Bytes that compress as an image's do: sources and documents (to about a quarter), programs (to about a third), media and
 * archives (not at all). Files are slices of three pools, so that a gigabyte is made as fast as a disk takes it.
 */
export class Contents {
  readonly #pools: Readonly<Record<Kind, Buffer>>;

  constructor(seed: number) {
    this.#pools = {
      text: localPool(seed, TEXT),
      binary: localPool(seed + 1, BINARY),
      packed: packedPool(seed + 2),
    };
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

/** What a kind of content repeats, how much of it at once, and from how far back. Means are of exponential distributions. */
interface Locality {
  readonly newByte: (random: () => number) => number;
  /** Bytes between two repeats. */
  readonly meanNew: number;
  /** Chance that a repeat is as far back as the one before it. */
  readonly sameDistance: number;
  readonly words: Repeats;
  readonly phrases: Repeats & { readonly chance: number };
}

interface Repeats {
  readonly leastBytes: number;
  readonly meanMore: number;
  /** Distances are spread evenly over their logarithms; with a nearness above 1 the near ones come more often. */
  readonly leastDistance: number;
  readonly mostDistance: number;
  readonly nearness: number;
}

const SIGNS = 'etaoinshrdlucmfwypvbgkjqxz_ETAS0123456789.,;()=" \n';

/**
 * Fitted by a search to what a tree of packages and sources of 2.2 GB gives. Ratio here (there), 2.1 GB in 35 000 files: zstd 1, 3
 * and 7 in frames of 256 KiB 0.359 (0.355), 0.348 (0.337), 0.330 (0.320); of 1 MiB 0.353 (0.351), 0.325 (0.322), 0.303 (0.304).
 * gzip -6, over a tenth of it, 0.351 (0.362 of all). Packing with zstd 1 takes 3.7 core-seconds a gigabyte (3.9).
 */
const TEXT: Locality = {
  newByte: (random) => SIGNS.charCodeAt(Math.floor(random() ** 2 * SIGNS.length)),
  meanNew: 3.83,
  sameDistance: 0.131,
  words: { leastBytes: 5, meanMore: 2.2, leastDistance: 2000, mostDistance: 300_000, nearness: 1 },
  phrases: { chance: 0.365, leastBytes: 12, meanMore: 49.5, leastDistance: 5, mostDistance: 925_000, nearness: 1.38 },
};
const BINARY: Locality = {
  newByte: (random) => (random() < 0.15 ? 0 : Math.floor(random() ** 1.6 * 256)),
  meanNew: 2.53,
  sameDistance: 0.118,
  words: { leastBytes: 4, meanMore: 2.53, leastDistance: 221, mostDistance: 576_000, nearness: 0.6 },
  phrases: {
    chance: 0.244,
    leastBytes: 12,
    meanMore: 40.5,
    leastDistance: 33,
    mostDistance: 1_670_000,
    nearness: 4.04,
  },
};

/** LZ77 backwards: new bytes and copies of what stood not far before, which is how sources and programs repeat themselves. */
function localPool(seed: number, like: Locality): Buffer {
  const random = randomFrom(seed);
  const exponential = (mean: number) => Math.floor(-Math.log(1 - random()) * mean);
  const pool = Buffer.alloc(POOL_BYTES);
  let distance: number = like.words.leastDistance;
  for (let at = 0; at < POOL_BYTES; ) {
    for (let count = exponential(like.meanNew); count > 0 && at < POOL_BYTES; count--)
      pool[at++] = like.newByte(random);
    const { leastBytes, leastDistance, meanMore, mostDistance, nearness } =
      random() < like.phrases.chance ? like.phrases : like.words;
    if (random() >= like.sameDistance) {
      const farthest = Math.max(1, Math.min(at, mostDistance) / leastDistance);
      distance = Math.floor(leastDistance * farthest ** (random() ** nearness));
    }
    const from = at - Math.min(at, Math.max(1, distance));
    const end = Math.min(POOL_BYTES, at + leastBytes + exponential(meanMore));
    // Byte by byte: a copy that reaches into itself repeats, as a run does.
    for (let source = from; at < end; ) pool[at++] = pool[source++] ?? 0;
  }
  return pool;
}

function packedPool(seed: number): Buffer {
  const random = randomFrom(seed);
  const pool = Buffer.allocUnsafe(POOL_BYTES);
  for (let at = 0; at < POOL_BYTES; at += 4) pool.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
  return pool;
}
