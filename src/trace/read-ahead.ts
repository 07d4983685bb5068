import { type Stretch, Strides } from './strides.ts';

/** The daemon's numbers (`layer/readahead.rs`, docs/adr/0015-read-ahead.md). */
const MAX_STREAMS = 16;
const FULL_READ = 96 * 1024;
const LONG_RUN = 512 * 1024;
const FIRST_WINDOW = 256 * 1024;
const LONGEST_WINDOW = 4 * 2 ** 20;

interface Stream {
  end: number;
  run: number;
  seen: number;
}

/**
 * What is worth fetching ahead, from the reads alone: the daemon's rules, on what a trace has of the reads. Those of chunks that
 * were touched before are not in it, so a reader is taken to have come to the end of the chunk it was in: `unseenFrom`.
 */
export class ReadAhead {
  readonly #streams: Stream[] = [];
  readonly #strides = new Strides();
  #tick = 0;

  /** Takes note of a read. `unseenFrom`: reads between there and its start, if there were any, are not in the trace. */
  read({ end, start }: Stretch, unseenFrom: number): readonly Stretch[] {
    const { follows, run } = this.#stream({ start, end }, unseenFrom);
    if (end - start >= FULL_READ || run >= LONG_RUN) {
      this.#strides.note(start);
      const window = Math.min(Math.max(Math.floor(run / 2), FIRST_WINDOW), LONGEST_WINDOW);
      return [{ start: end, end: end + window }];
    }
    return follows ? [] : this.#strides.read({ start, end });
  }

  #stream({ end, start }: Stretch, unseenFrom: number): { readonly run: number; readonly follows: boolean } {
    this.#tick += 1;
    const known = this.#streams.find((stream) => stream.end <= start && stream.end > unseenFrom);
    if (known !== undefined) {
      Object.assign(known, { run: known.run + end - known.end, end, seen: this.#tick });
      return { run: known.run, follows: true };
    }
    if (this.#streams.length >= MAX_STREAMS) {
      const oldest = this.#streams.reduce((a, b) => (b.seen < a.seen ? b : a));
      this.#streams.splice(this.#streams.indexOf(oldest), 1);
    }
    this.#streams.push({ end, run: end - start, seen: this.#tick });
    return { run: end - start, follows: false };
  }
}
