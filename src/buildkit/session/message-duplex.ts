import { Duplex } from 'node:stream';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { BytesMessage } from '../../gen/github.com/moby/buildkit/api/services/control/control.ts';

/** Merged writes stay below this; the daemon takes 16 MiB. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Field 1, length-delimited: `bytes data = 1`. */
const DATA_TAG = 0x0a;

export type SessionStream = ClientDuplexStream<readonly Buffer[], Buffer>;

/** The byte stream inside the messages of `Control.Session`; where one message ends and the next begins means nothing. */
export class MessageDuplex extends Duplex {
  readonly #stream: SessionStream;
  #demand: () => void = () => undefined;

  constructor(stream: SessionStream) {
    super({ readableHighWaterMark: MAX_MESSAGE_BYTES, writableHighWaterMark: MAX_MESSAGE_BYTES });
    this.#stream = stream;
    void this.#pump();
  }

  override _read(): void {
    this.#demand();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#stream.write([chunk], done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    let batch: Buffer[] = [];
    let batchBytes = 0;
    for (const { chunk } of chunks) {
      if (batchBytes > 0 && batchBytes + chunk.length > MAX_MESSAGE_BYTES) {
        this.#stream.write(batch);
        batch = [];
        batchBytes = 0;
      }
      batch.push(chunk);
      batchBytes += chunk.length;
    }
    this.#stream.write(batch, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream.cancel();
    this.#demand();
    done(error);
  }

  async #pump(): Promise<void> {
    try {
      for await (const payload of this.#stream as AsyncIterable<Buffer>) {
        if (payload.length === 0 || this.push(payload)) continue;
        const { promise, resolve } = Promise.withResolvers<undefined>();
        this.#demand = () => {
          resolve(undefined);
        };
        await promise;
        if (this.destroyed) return;
      }
      this.push(null);
    } catch (thrown) {
      this.destroy(thrown instanceof Error ? thrown : undefined);
    }
  }
}

/** Pieces of the byte stream as one message. */
export function encodePayload(pieces: readonly Buffer[]): Buffer {
  const lengthBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const head = [DATA_TAG];
  let rest = lengthBytes;
  while (rest >= 0x80) {
    head.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  head.push(rest);
  return Buffer.concat([Buffer.from(head), ...pieces]);
}

/** A message's piece of the byte stream, not copied. */
export function decodePayload(bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes;
  let at = 1;
  let lengthBytes = 0;
  if (bytes[0] === DATA_TAG) {
    for (let shift = 0; at < bytes.length; shift += 7) {
      const byte = bytes[at++] ?? 0;
      lengthBytes |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (at + lengthBytes === bytes.length) return bytes.subarray(at);
  }
  return BytesMessage.decode(bytes).data;
}
