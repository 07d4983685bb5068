import type { LayerResult } from '../indexer/index.ts';
import type { Log } from '../telemetry/index.ts';
import { LevelController, type LevelTraits } from './level-controller.ts';
import type { PushMeter } from './push-meter.ts';

/**
 * Beside level 1: user time of the packer and size of the blob, zstd 1.5.7, frames of 256 KiB, 179 MB of Node and Python
 * files. Levels that cost more than the one below and save less than a hundredth are left out. 15 is the last: the packer
 * needs 27 MB of memory there, 7 more than at level 1, and above it the time grows faster than any link is slow.
 */
export const AUTO_TRAITS: readonly [LevelTraits, ...LevelTraits[]] = [
  { level: 1, cost: 1, size: 1 },
  { level: 2, cost: 1.2, size: 0.957 },
  { level: 3, cost: 1.45, size: 0.931 },
  { level: 4, cost: 2.55, size: 0.911 },
  { level: 6, cost: 3.5, size: 0.889 },
  { level: 7, cost: 4.1, size: 0.87 },
  { level: 9, cost: 5.6, size: 0.861 },
  { level: 13, cost: 29, size: 0.84 },
  { level: 15, cost: 40, size: 0.808 },
];

/** How often the level is thought over: the packer's progress comes as often. */
const INTERVAL_MS = 250;

export interface SteeringOptions {
  readonly meter: PushMeter;
  readonly log: Log;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

interface LayerState {
  readonly totalBytes: number;
  readBytes: number;
  writtenBytes: number;
}

/** Tells the packer of a build its level while it runs, by how fast the push drains. */
export class LevelSteering {
  readonly #options: SteeringOptions;
  readonly #controller = new LevelController(AUTO_TRAITS);
  readonly #layers = new Map<string, LayerState>();
  readonly #used: number[] = [];
  #last: number | undefined;

  constructor(options: SteeringOptions) {
    this.#options = options;
  }

  /** Levels in the order they were first used; none when nothing was packed. */
  get used(): readonly number[] {
    return this.#used;
  }

  get linkBytesPerSecond(): number | undefined {
    return this.#controller.linkBytesPerSecond;
  }

  /** Until disposed: layers by their name and plain size are being packed by the tool whose level `onStart` gets to set. */
  begin(layers: readonly (readonly [string, number])[]): Disposable & {
    readonly onStart: (setLevel: (level: number) => void) => void;
  } {
    for (const [id, totalBytes] of layers) this.#layers.set(id, { totalBytes, readBytes: 0, writtenBytes: 0 });
    let timer: NodeJS.Timeout | undefined;
    return {
      onStart: (setLevel) => {
        if (layers.length === 0) return;
        this.#use(this.#controller.level, setLevel);
        timer = setInterval(() => {
          this.#think(setLevel);
        }, INTERVAL_MS);
      },
      [Symbol.dispose]: () => {
        clearInterval(timer);
      },
    };
  }

  read(id: string, readBytes: number): void {
    const layer = this.#layers.get(id);
    if (layer !== undefined) layer.readBytes = readBytes;
  }

  written(id: string, writtenBytes: number): void {
    const layer = this.#layers.get(id);
    if (layer !== undefined) layer.writtenBytes = writtenBytes;
  }

  done(id: string, { sizeBytes }: LayerResult): void {
    const layer = this.#layers.get(id);
    if (layer === undefined) return;
    layer.readBytes = layer.totalBytes;
    layer.writtenBytes = sizeBytes;
  }

  #think(setLevel: (level: number) => void): void {
    const { meter, now } = this.#options;
    const layers = [...this.#layers.values()];
    const sum = (value: (layer: LayerState) => number) => layers.reduce((total, layer) => total + value(layer), 0);
    const level = this.#controller.next({
      atMs: now(),
      movedBytes: meter.movedBytes,
      waitingBytes: meter.waitingBytes,
      packedBytes: sum(({ readBytes }) => readBytes),
      remainingBytes: sum(({ readBytes, totalBytes }) => Math.max(0, totalBytes - readBytes)),
      writtenBytes: sum(({ writtenBytes }) => writtenBytes),
    });
    if (level !== this.#last) this.#use(level, setLevel);
  }

  #use(level: number, setLevel: (level: number) => void): void {
    const before = this.#last;
    this.#last = level;
    if (!this.#used.includes(level)) this.#used.push(level);
    setLevel(level);
    this.#options.log.info(
      { level, before, linkBytesPerSecond: Math.round(this.linkBytesPerSecond ?? 0) },
      'compression level chosen',
    );
  }
}
