/**
 * What happens to one part: it dies, sleeps or is told to go (SIGTERM, a worker alone), and comes back. Times in milliseconds
 * from the start.
 */
export interface Fault {
  readonly atMs: number;
  readonly part: string;
  readonly kind: 'kill' | 'pause' | 'restart';
  /** Until it comes back; of a restart, after it has ended. */
  readonly forMs: number;
}

export interface PlannedBuild {
  readonly atMs: number;
  readonly workspaceId: string;
  readonly imageId: string;
  /** What the image says, and what makes its layers its own. */
  readonly message: string;
  /** Canceled so long after it was submitted; undefined: never. */
  readonly cancelAfterMs: number | undefined;
}

export interface ChaosPlan {
  readonly faults: readonly Fault[];
  readonly builds: readonly PlannedBuild[];
}

export interface ChaosSize {
  readonly seed: number;
  readonly seconds: number;
  readonly builds: number;
}

const WORKSPACES = 5;
/** One of so many submissions is one that was made before, or one that is made at this moment. */
const REPEAT_EVERY = 8;
/** One of so many is canceled. */
const CANCEL_EVERY = 6;
const CANCEL_MS = 6000;

/** Mulberry32: 0 to 1, the same numbers for a seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same for a seed, however the builds go. Each part has its own faults, which do not overlap; those of several parts may. */
export function planChaos({ builds, seconds, seed }: ChaosSize, parts: readonly string[]): ChaosPlan {
  const random = randomOf(seed);
  const between = (least: number, most: number) => Math.round(least + random() * (most - least));
  const endMs = seconds * 1000;
  const faults: Fault[] = [];
  for (const part of parts) {
    for (let atMs = between(1000, 9000); atMs < endMs; ) {
      const lot = random();
      const kind = part.startsWith('worker') && lot < 0.35 ? 'restart' : lot < 0.7 ? 'kill' : 'pause';
      const forMs = kind === 'pause' ? between(300, 7000) : between(50, 2500);
      faults.push({ atMs, part, kind, forMs });
      atMs += forMs + between(4000, 16_000);
    }
  }
  const planned: PlannedBuild[] = [];
  for (let at = 0; at < builds; at += 1) {
    const evenly = Math.round((at / builds) * endMs * 0.85);
    const before = at % REPEAT_EVERY === REPEAT_EVERY - 1 ? planned.at(-between(1, 3)) : undefined;
    // Every other repetition comes together with the first of its kind.
    const atMs = before !== undefined && at % (2 * REPEAT_EVERY) === REPEAT_EVERY - 1 ? before.atMs : evenly;
    const cancelAfterMs = at % CANCEL_EVERY === CANCEL_EVERY - 1 ? between(0, CANCEL_MS) : undefined;
    const fresh = {
      workspaceId: `chaos-${at % WORKSPACES}`,
      imageId: `image_${at}`,
      message: `build ${at} of ${seed}`,
    };
    planned.push({ ...(before ?? fresh), atMs, cancelAfterMs });
  }
  return { faults: faults.toSorted((a, b) => a.atMs - b.atMs), builds: planned };
}
