import type { Limits } from '../../config/index.ts';
import type { Entry, LayerWarnings } from '../entry.ts';
import { atPlace } from '../failure.ts';
import { type Part, type Step, type WalkState, walkLayer } from './layer-walk.ts';

const NOTHING: Part = { bytes: Buffer.alloc(0), isWhole: true };

/** Reads a tar stream that comes in whatever pieces; bytes behind its end are passed over. */
export class TarWalker {
  readonly #state: WalkState;
  readonly #walk: Generator<Step, void, Part>;
  /** What the walk waits for; undefined once it is over. */
  #wanted: Exclude<Step, { want: 'cut' }> | undefined;
  #held: Buffer[] = [];
  #missing = 0;

  constructor(limits: Limits, largeBytes: number) {
    this.#state = {
      limits,
      largeBytes,
      entries: [],
      warnings: {
        droppedOverlayXattrs: 0,
        droppedHostXattrs: 0,
        droppedUnsupportedXattrs: 0,
        ignoredGlobalHeaders: 0,
      },
      begun: 0,
      offset: 0,
      relocatedBytes: 0,
    };
    this.#walk = walkLayer(this.#state);
    this.#resume(NOTHING);
  }

  /** The entries so far, in stream order. */
  get entries(): readonly Entry[] {
    return this.#state.entries;
  }

  get warnings(): Readonly<LayerWarnings> {
    return this.#state.warnings;
  }

  /** Takes the next bytes and says where in them (up to their length) the data of large files begins. */
  feed(bytes: Buffer): readonly number[] {
    const cuts: number[] = [];
    for (let at = 0; this.#wanted !== undefined && at < bytes.length; ) {
      const part = bytes.subarray(at, at + this.#missing);
      at += part.length;
      this.#missing -= part.length;
      if (this.#wanted.want === 'take') this.#held.push(part);
      if (this.#missing > 0) continue;
      for (let count = this.#resume({ bytes: this.#takeHeld(), isWhole: true }); count > 0; count -= 1) cuts.push(at);
    }
    return cuts;
  }

  /** The stream is over. Throws LAYER_TRUNCATED when it ended inside an entry. */
  end(): void {
    if (this.#wanted !== undefined) this.#resume({ bytes: this.#takeHeld(), isWhole: false });
  }

  #takeHeld(): Buffer {
    const held = this.#held;
    this.#held = [];
    const [only] = held;
    return held.length === 1 && only !== undefined ? only : Buffer.concat(held);
  }

  /** Goes on until bytes are wanted; returns how many cuts there were. */
  #resume(part: Part): number {
    try {
      for (let [cuts, reply] = [0, part]; ; cuts += 1, reply = NOTHING) {
        const { done = false, value } = this.#walk.next(reply);
        if (done || value === undefined) {
          this.#wanted = undefined;
          return cuts;
        }
        if (value.want === 'cut') continue;
        this.#wanted = value;
        this.#missing = value.bytes;
        return cuts;
      }
    } catch (thrown) {
      throw atPlace(thrown, `entry ${this.#state.begun} before offset ${this.#state.offset}`);
    }
  }
}
