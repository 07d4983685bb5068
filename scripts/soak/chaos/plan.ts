/** What happens to one part: it dies or sleeps, and comes back. Times in milliseconds from the start. */
export interface Fault {
  readonly atMs: number;
  readonly part: string;
  readonly kind: 'kill' | 'pause';
  readonly forMs: number;
}

export interface PlannedBuild {
  readonly atMs: number;
  readonly workspaceId: string;
  readonly imageId: string;
  /** What the image says, and what makes its layers its own. */
  readonly message: string;
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
/** One of so many submissions is one that was made before. */
const REPEAT_EVERY = 8;

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
      const kind = random() < 0.6 ? 'kill' : 'pause';
      const forMs = kind === 'kill' ? between(50, 2500) : between(300, 7000);
      faults.push({ atMs, part, kind, forMs });
      atMs += forMs + between(4000, 16_000);
    }
  }
  const planned: PlannedBuild[] = [];
  for (let at = 0; at < builds; at += 1) {
    const atMs = Math.round((at / builds) * endMs * 0.85);
    const before = at % REPEAT_EVERY === REPEAT_EVERY - 1 ? planned.at(-between(1, 3)) : undefined;
    const fresh = {
      workspaceId: `chaos-${at % WORKSPACES}`,
      imageId: `image_${at}`,
      message: `build ${at} of ${seed}`,
    };
    planned.push({ ...(before ?? fresh), atMs });
  }
  return { faults: faults.toSorted((a, b) => a.atMs - b.atMs), builds: planned };
}
