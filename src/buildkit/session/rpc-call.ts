import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { frameHead, readFrames } from './rpc-frames.ts';

/** The daemon's own messages stay near 1 MiB (Content.Write); this leaves room. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** One call of the daemon on our session, from the side that answers it. */
export class RpcCall {
  readonly path: string;
  /** Aborted when the daemon gives the call up or the session ends. */
  readonly signal: AbortSignal;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: ReadonlyMap<string, readonly string[]>;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  constructor(stream: ServerHttp2Stream, headers: ReadonlyMap<string, readonly string[]>) {
    this.#stream = stream;
    this.#headers = headers;
    this.path = headers.get(':path')?.[0] ?? '';
    const gone = new AbortController();
    this.signal = gone.signal;
    const abort = () => {
      gone.abort();
    };
    stream.once('aborted', abort);
    stream.once('close', () => {
      if (!stream.writableFinished) abort();
    });
  }

  /** Every value of a header, in order. Repeats stay apart, so a value may hold a comma. */
  header(name: string): readonly string[] {
    return this.#headers.get(name) ?? [];
  }

  /** What the daemon sends, until it closes its side. Throws BUILDKIT_PROTOCOL. */
  messages(): AsyncGenerator<Buffer, void> {
    // Leaving the loop early must not reset the stream: the status is still to be sent.
    return readFrames(this.#stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>, MAX_MESSAGE_BYTES);
  }

  /** Queues a message given in parts; the bytes must not change until `flush`. */
  queue(...parts: readonly Buffer[]): void {
    const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#waiting.push(frameHead(lengthBytes), ...parts);
    this.#waitingBytes += lengthBytes;
  }

  get queuedBytes(): number {
    return this.#waitingBytes;
  }

  /** Sends what is queued in one write, and waits while the daemon is behind. */
  async flush(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.signal.throwIfAborted();
    if (!this.#stream.write(bytes)) await once(this.#stream, 'drain', { signal: this.signal });
  }

  async send(message: Uint8Array): Promise<void> {
    this.queue(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
    await this.flush();
  }
}
