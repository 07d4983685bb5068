import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client, ClientReadableStream } from '@grpc/grpc-js';
import { type Expected, verify } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import { removeQuietly } from '../../files/index.ts';
import {
  ReadContentRequest,
  ReadContentResponse,
} from '../../gen/github.com/containerd/containerd/api/services/content/v1/content.ts';
import { failureOfCall } from '../call-failure.ts';
import { RPC_CODE } from '../session/rpc-status.ts';

const READ = '/containerd.services.content.v1.Content/Read';
/** A broken stream goes on at the byte it stopped at, this often. */
const MAX_RESUMES = 3;

export interface ReadBlobOptions extends Cancelable {
  readonly onProgress: (doneBytes: number) => void;
}

/**
 * Reads a blob from the daemon's own content store (containerd `Content.Read`, one HTTP/2 hop without a lock step) into a
 * new file and proves it. Throws BLOB_MISMATCH, BLOB_MISSING, BUILDKIT_UNAVAILABLE; then the file is gone.
 */
export async function readBlobToFile(
  client: Client,
  expected: Expected,
  path: string,
  { onProgress, signal }: ReadBlobOptions,
): Promise<void> {
  let doneBytes = 0;
  async function* counted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      yield chunk;
      doneBytes += chunk.length;
      onProgress(doneBytes);
    }
  }
  try {
    const bytes = Readable.from(readBlob(client, expected, { signal }), { objectMode: true, highWaterMark: 4 });
    // Chunks are up to 1 MiB; the sink may hold a few of them while the disk is behind.
    const sink = createWriteStream(path, { flags: 'wx', highWaterMark: 4 * 1024 * 1024 });
    await pipeline(bytes, verify(expected), counted, sink, { signal });
  } catch (thrown) {
    await removeQuietly(path);
    throw thrown;
  }
}

async function* readBlob(
  client: Client,
  { digest, sizeBytes }: Expected,
  { signal }: Cancelable,
): AsyncGenerator<Buffer> {
  let offset = 0;
  for (let resumes = 0; ; resumes++) {
    signal.throwIfAborted();
    const stream = openRead(client, digest, offset);
    const abort = () => {
      stream.cancel();
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      // containerd counts a response's own offset from the start of the call; order is kept and the digest is checked.
      for await (const { data } of stream as AsyncIterable<ReadContentResponse>) {
        offset += data.length;
        yield data;
      }
      return;
    } catch (thrown) {
      signal.throwIfAborted();
      const failure = failureOfCall(thrown, `read blob ${digest} from the daemon`);
      if (failure.rpcCode !== RPC_CODE.unavailable || resumes >= MAX_RESUMES || offset > sizeBytes) throw failure.error;
    } finally {
      signal.removeEventListener('abort', abort);
      stream.cancel();
    }
  }
}

function openRead(client: Client, digest: string, offset: number): ClientReadableStream<ReadContentResponse> {
  return client.makeServerStreamRequest(
    READ,
    (request: ReadContentRequest) => Buffer.from(ReadContentRequest.encode(request).finish()),
    decodeResponse,
    { digest, offset: BigInt(offset), size: 0n },
  );
}

/**
 * `{offset = 1, data = 2}` without the copy that the generated decoder makes of every MiB; anything else is left to it.
 */
export function decodeResponse(bytes: Buffer): ReadContentResponse {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  let offset = 0;
  if (bytes[at] === 0x08) {
    at++;
    offset = varint();
  }
  if (bytes[at] === 0x12) {
    at++;
    const length = varint();
    if (at + length === bytes.length) return { offset: BigInt(offset), data: bytes.subarray(at) };
  }
  return ReadContentResponse.decode(bytes);
}
