/** Readers told apart in one layer (the daemon's `MAX_STREAMS`). */
const MAX_STREAMS = 16;

interface Stream {
  next: number;
  window: number;
  marker: number | undefined;
  seen: number;
}

/** Chunks to fetch ahead, and the one that says "go on" when it is read: its first. */
export interface Ahead {
  readonly firstChunk: number;
  readonly endChunk: number;
}

/**
 * Sees who reads a layer front to back, with windows that double. An estimate: the daemon goes by the length of reads, strides and
 * a budget (docs/adr/0015-read-ahead.md), and a trace has the first read of a chunk alone.
 */
export class ReadAhead {
  readonly #streams: Stream[] = [];
  readonly #most: number;
  readonly #count: number;
  #tick = 0;

  constructor(chunkCount: number, mostChunks: number) {
    this.#count = chunkCount;
    this.#most = Math.max(1, mostChunks);
  }

  /** A reader had to wait for chunks. */
  missed(firstChunk: number, endChunk: number): Ahead | undefined {
    this.#tick += 1;
    const known = this.#streams.find(({ next }) => next === firstChunk);
    if (known !== undefined) {
      known.next = endChunk;
      return this.#advance(known);
    }
    if (this.#streams.length >= MAX_STREAMS) {
      const oldest = this.#streams.reduce((a, b) => (b.seen < a.seen ? b : a));
      this.#streams.splice(this.#streams.indexOf(oldest), 1);
    }
    this.#streams.push({ next: endChunk, window: 0, marker: undefined, seen: this.#tick });
    return undefined;
  }

  /** A reader came to chunks, of which one may be a marker. */
  reached(firstChunk: number, endChunk: number): Ahead | undefined {
    const stream = this.#streams.findLast(
      ({ marker }) => marker !== undefined && marker >= firstChunk && marker < endChunk,
    );
    if (stream === undefined) return undefined;
    this.#tick += 1;
    return this.#advance(stream);
  }

  #advance(stream: Stream): Ahead | undefined {
    stream.seen = this.#tick;
    stream.window = Math.min(Math.max(stream.window * 2, 1), this.#most);
    const [firstChunk, endChunk] = [stream.next, Math.min(stream.next + stream.window, this.#count)];
    stream.marker = firstChunk < endChunk ? firstChunk : undefined;
    if (stream.marker === undefined) return undefined;
    stream.next = endChunk;
    return { firstChunk, endChunk };
  }
}
