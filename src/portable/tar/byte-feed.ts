const NOTHING: Buffer = Buffer.alloc(0);

/** Bytes that come in whatever pieces, taken in the amounts that a reader wants. */
export class ByteFeed {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece = NOTHING;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** The next bytes, fewer at the end. For headers: they are gathered in memory. */
  async take(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.pass(bytes)) parts.push(part);
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  }

  /** The next bytes piece by piece, fewer at the end. */
  async *pass(bytes: number): AsyncGenerator<Buffer> {
    for (let missing = bytes; missing > 0; ) {
      if (this.#piece.length === 0 && !(await this.#next())) return;
      const part = this.#piece.subarray(0, missing);
      this.#piece = this.#piece.subarray(part.length);
      missing -= part.length;
      yield part;
    }
  }

  /** Everything that is left. */
  async *rest(): AsyncGenerator<Buffer> {
    yield* this.pass(Number.POSITIVE_INFINITY);
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const next = await this.#pieces.next();
      if (next.done === true) return false;
      if (next.value.length === 0) continue;
      const { buffer, byteLength, byteOffset } = next.value;
      this.#piece = Buffer.from(buffer, byteOffset, byteLength);
      return true;
    }
  }
}
