import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type Digest, digestOfHex } from '../../digest/index.ts';
import { type Cancelable, toWorkerError } from '../../errors/index.ts';

const PIECE_BYTES = 256 * 1024;
const NOTHING: Buffer = Buffer.alloc(0);

/** A blob read front to back, hashed on its way; whoever reads looks at the bytes at hand and says how many it used. */
export class BlobReader implements AsyncDisposable {
  readonly #path: string;
  readonly #pieces: AsyncIterator<Buffer>;
  readonly #hash = createHash('sha256');
  #piece = NOTHING;
  #position = 0;

  constructor(path: string, { signal }: Cancelable) {
    this.#path = path;
    const stream = createReadStream(path, { highWaterMark: PIECE_BYTES, signal }) as AsyncIterable<Buffer>;
    this.#pieces = stream[Symbol.asyncIterator]();
  }

  /** Bytes used so far. */
  get position(): number {
    return this.#position;
  }

  /** The bytes at hand, more of the blob when there are none; empty at its end. Throws PATH_NOT_FOUND, IO_FAILED. */
  async available(): Promise<Buffer> {
    if (this.#piece.length > 0) return this.#piece;
    const next = await this.#pieces.next().catch((thrown: unknown) => {
      throw toWorkerError(thrown, `read ${this.#path}`);
    });
    if (next.done !== true) {
      this.#piece = next.value;
      this.#hash.update(next.value);
    }
    return this.#piece;
  }

  /** Marks bytes of `available` as used. */
  use(bytes: number): void {
    this.#piece = this.#piece.subarray(bytes);
    this.#position += bytes;
  }

  /** The next bytes, fewer at the end of the blob. For headers: they are gathered in memory. */
  async take(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.pass(bytes)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** The next bytes piece by piece, fewer at the end of the blob. */
  async *pass(bytes: number): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0; ) {
      const part = (await this.available()).subarray(0, left);
      if (part.length === 0) return;
      this.use(part.length);
      left -= part.length;
      yield part;
    }
  }

  /** Digest of what was read; of the whole blob once `available` was empty. */
  digest(): Digest {
    return digestOfHex(this.#hash.copy().digest('hex'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces.return?.();
  }
}
