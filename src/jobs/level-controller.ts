/** What one level costs and gives, beside level 1. */
export interface LevelTraits {
  readonly level: number;
  /** Time for the same bytes. */
  readonly cost: number;
  /** Size of what comes out. */
  readonly size: number;
}

/** How a build stands; all counts are totals since it began. */
export interface PushSample {
  readonly atMs: number;
  /** Bytes that went over the wire. */
  readonly movedBytes: number;
  /** Bytes that could go over the wire now. */
  readonly waitingBytes: number;
  /** Plain bytes packed, and still to pack. */
  readonly packedBytes: number;
  readonly remainingBytes: number;
  /** What the packed bytes became, as far as that is told. */
  readonly writtenBytes: number;
}

/** What was seen counts half after this. */
const HALF_LIFE_MS = 2000;
/** A rate is believed when it was seen for so long. */
const SEEN_MS = 400;
/** Packing should end this much before the push would: a forecast errs, and an idle link is worse than a larger blob. */
const HEADROOM = 0.8;
/** Compressed size of plain bytes before anything is known; layers of real images are about there. */
const USUAL_SIZE = 0.4;
/** Before this much was packed, sizes say little. */
const SIZE_KNOWN_BYTES = 16 * 1024 * 1024;

/**
 * Takes the strongest level at which the push stays the bottleneck: packing what remains must take less time than pushing what
 * waits and what it will become. Pure: time and counts come in, a level comes out. A link that drains faster than anything
 * can be packed gets the weakest level, as does one that nothing is known of yet.
 */
export class LevelController {
  readonly #levels: readonly LevelTraits[];
  readonly #link = new Rate();
  /** By level: plain bytes a millisecond, where it was seen. */
  readonly #speeds = new Map<number, Rate>();
  #chosen: LevelTraits;
  #before: PushSample | undefined;

  /** `levels` weakest first. */
  constructor(levels: readonly [LevelTraits, ...LevelTraits[]]) {
    this.#levels = levels;
    this.#chosen = levels[0];
  }

  get level(): number {
    return this.#chosen.level;
  }

  /** Bytes a second of the link, where it is known. */
  get linkBytesPerSecond(): number | undefined {
    const perMs = this.#link.perMs;
    return perMs === undefined ? undefined : perMs * 1000;
  }

  /** Hears how things stand, a few times a second; the level from now on. */
  next(sample: PushSample): number {
    const before = this.#before;
    this.#before = sample;
    if (before === undefined) return this.level;
    const elapsedMs = sample.atMs - before.atMs;
    if (elapsedMs <= 0) return this.level;
    // A link with nothing to do shows nothing; neither does a packer that has ended.
    if (before.waitingBytes > 0) this.#link.add(sample.movedBytes - before.movedBytes, elapsedMs);
    if (before.remainingBytes > 0) {
      const speed = this.#speeds.get(this.level) ?? new Rate();
      speed.add(sample.packedBytes - before.packedBytes, elapsedMs);
      this.#speeds.set(this.level, speed);
    }
    const linkPerMs = this.#link.perMs;
    if (linkPerMs !== undefined && sample.remainingBytes > 0) this.#choose(sample, linkPerMs);
    return this.level;
  }

  #choose(sample: PushSample, linkPerMs: number): void {
    const size1 = this.#sizeAtLevel1(sample);
    const fits = this.#levels.filter((traits) => {
      const speed = this.#speedOf(traits);
      if (speed === undefined) return false;
      const packMs = sample.remainingBytes / speed;
      const pushMs = (sample.waitingBytes + sample.remainingBytes * size1 * traits.size) / linkPerMs;
      return packMs <= HEADROOM * pushMs;
    });
    const [weakest] = this.#levels;
    this.#chosen = fits.at(-1) ?? weakest ?? this.#chosen;
  }

  /** As seen at this level; else what was seen at the nearest one says it, by what both cost. */
  #speedOf({ cost, level }: LevelTraits): number | undefined {
    const seen = this.#levels.flatMap((traits) => {
      const perMs = this.#speeds.get(traits.level)?.perMs;
      return perMs === undefined ? [] : [{ ...traits, perMs }];
    });
    const [nearest] = seen.toSorted((left, right) => Math.abs(left.level - level) - Math.abs(right.level - level));
    return nearest === undefined ? undefined : (nearest.perMs * nearest.cost) / cost;
  }

  #sizeAtLevel1({ packedBytes, writtenBytes }: PushSample): number {
    if (packedBytes < SIZE_KNOWN_BYTES || writtenBytes === 0) return USUAL_SIZE;
    return Math.min(1, writtenBytes / packedBytes / this.#chosen.size);
  }
}

/** Bytes a millisecond, the newest counting most. */
class Rate {
  #bytes = 0;
  #ms = 0;

  add(bytes: number, ms: number): void {
    const kept = 0.5 ** (ms / HALF_LIFE_MS);
    this.#bytes = this.#bytes * kept + bytes;
    this.#ms = this.#ms * kept + ms;
  }

  get perMs(): number | undefined {
    return this.#ms < SEEN_MS || this.#bytes === 0 ? undefined : this.#bytes / this.#ms;
  }
}
