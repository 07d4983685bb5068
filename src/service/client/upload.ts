import { once } from 'node:events';
import type { ClientWritableStream, Metadata, ServiceError } from '@grpc/grpc-js';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { UploadContextRequest, UploadContextResponse } from '../../gen/clipyard/v1/build.ts';
import type { Channel } from './channel.ts';

/** A message may have 1 MiB; a few of them are on the way at any time. */
const MESSAGE_BYTES = 256 * 1024;

type UploadMethod = (
  metadata: Metadata,
  callback: (error: ServiceError | null, response: UploadContextResponse) => void,
) => ClientWritableStream<UploadContextRequest>;

/** Sends bytes no faster than the worker takes them. Rejects with the call's error, the source's, or the signal's reason. */
export async function uploadBytes(
  method: UploadMethod,
  metadata: Metadata,
  bytes: AsyncIterable<Uint8Array>,
  { signal }: Cancelable,
): Promise<UploadContextResponse> {
  signal.throwIfAborted();
  const answered = Promise.withResolvers<UploadContextResponse>();
  answered.promise.catch(() => undefined); // a source that fails goes before it
  const call = method(metadata, (error, response) => {
    if (error === null) answered.resolve(response);
    else answered.reject(error);
  });
  const ended = new AbortController();
  const settle = () => {
    ended.abort();
  };
  void answered.promise.then(settle, settle);
  const cancel = () => {
    call.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    for await (const data of pieces(bytes)) {
      if (ended.signal.aborted) break;
      if (!call.write({ data })) await once(call, 'drain', { signal: ended.signal }).catch(() => undefined);
    }
    call.end();
    return await answered.promise;
  } catch (thrown) {
    call.cancel();
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** Bytes that were on the way for longer had a connection. */
const CONNECTED_MS = 5000;
/** Against something in between that lets no upload live long enough. */
const MOST_TRIES = 20;

/**
 * Uploads anew where a connection breaks or a worker goes away, until workers were out of reach for `patienceMs`: the bytes have
 * no name before their end, so there is nothing to go on from.
 */
export async function uploadAgain<Stored>(
  upload: () => Promise<Stored>,
  channel: Channel,
  { patienceMs, signal }: Cancelable & { readonly patienceMs: number },
): Promise<Stored> {
  let brokenSinceMs: number | undefined;
  for (let failures = 1; ; failures += 1) {
    const startedMs = performance.now();
    try {
      return await upload();
    } catch (thrown) {
      signal.throwIfAborted();
      const now = performance.now();
      if (now - startedMs > CONNECTED_MS) brokenSinceMs = undefined;
      brokenSinceMs ??= now;
      const isAway = thrown instanceof WorkerError && thrown.category === 'unavailable';
      if (!isAway || failures === MOST_TRIES || now - brokenSinceMs > patienceMs) throw thrown;
    }
    await channel.pause(failures, { signal });
  }
}

async function* pieces(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of bytes)
    for (let at = 0; at < chunk.length; at += MESSAGE_BYTES)
      yield Buffer.from(chunk.buffer, chunk.byteOffset + at, Math.min(MESSAGE_BYTES, chunk.length - at));
}
