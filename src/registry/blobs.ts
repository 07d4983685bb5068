import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { BlobRange } from './client.ts';
import { wireFailure } from './failures.ts';
import type { Repository } from './reference.ts';
import { scopeOf, type Transport } from './transport.ts';
import { nameOf, type WireResponse } from './wire.ts';

/** distribution-spec 1.1, "Checking if content exists in the registry". */
export async function headBlob(
  transport: Transport,
  repository: Repository,
  digest: Digest,
  { signal }: Cancelable,
): Promise<{ sizeBytes: number } | undefined> {
  const url = transport.urlOf(repository, `blobs/${digest}`);
  const response = await transport.sendRetrying({
    method: 'HEAD',
    registry: repository.registry,
    url,
    scopes: [scopeOf(repository.repository, 'pull')],
    expect: [200, 404],
    signal,
  });
  await response.discard();
  if (response.status === 404) return undefined;
  const sizeBytes = Number(response.header('content-length') ?? Number.NaN);
  if (!Number.isSafeInteger(sizeBytes))
    throw new WorkerError('REGISTRY_PROTOCOL', `${nameOf('HEAD', url)}: no content length`);
  return { sizeBytes };
}

interface Opened {
  readonly body: AsyncIterator<Uint8Array>;
  readonly close: () => void;
  /** Bytes to leave out at the start: the registry does not know ranges. */
  readonly skipBytes: number;
  /** Bytes that must follow the skipped ones; undefined when the registry does not say. */
  readonly sizeBytes: number | undefined;
  /** Nothing follows these bytes: the connection can be used again. */
  readonly exact: boolean;
}

/** distribution-spec 1.1, "Pulling blobs". The first answer is awaited, so that a missing blob throws here. */
export async function getBlobStream(
  transport: Transport,
  repository: Repository,
  digest: Digest,
  { range, signal }: Cancelable & { readonly range?: BlobRange },
): Promise<Readable> {
  const url = transport.urlOf(repository, `blobs/${digest}`);
  const doing = nameOf('GET', url);
  const open = async (offset: number, length: number | undefined): Promise<Opened> => {
    const ranged = offset > 0 || length !== undefined;
    const last = length === undefined ? '' : String(offset + length - 1);
    const response = await transport.send({
      method: 'GET',
      registry: repository.registry,
      url,
      scopes: [scopeOf(repository.repository, 'pull')],
      headers: ranged ? { range: `bytes=${offset}-${last}` } : {},
      expect: ranged ? [200, 206] : [200],
      unbounded: true,
      signal,
    });
    return openedFrom(response, offset, length, doing);
  };
  const wanted = range ?? { offset: 0 };
  if (wanted.length === 0) return Readable.from([], { objectMode: false });
  const first = await transport.retrying(doing, { signal }, () => open(wanted.offset, wanted.length));
  const bytes = resuming(first, wanted, { open, transport, doing, signal });
  return Readable.from(range === undefined ? proven(bytes, digest, doing) : bytes, { objectMode: false, signal });
}

function openedFrom(response: WireResponse, offset: number, length: number | undefined, doing: string): Opened {
  const announced = Number(response.header('content-length') ?? Number.NaN);
  const known = Number.isSafeInteger(announced) ? announced : undefined;
  const close = () => {
    response.body.destroy();
  };
  const body = (response.body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(response.header('content-range') ?? '')?.[1];
    if (start !== undefined && Number(start) !== offset) {
      close();
      throw new WorkerError('REGISTRY_PROTOCOL', `${doing}: a range from ${start} instead of ${offset}`);
    }
    return { body, close, skipBytes: 0, sizeBytes: known, exact: true };
  }
  const rest = known === undefined ? undefined : Math.max(0, known - offset);
  return {
    body,
    close,
    skipBytes: offset,
    sizeBytes: rest === undefined || length === undefined ? rest : Math.min(rest, length),
    exact: length === undefined,
  };
}

interface Resumption extends Cancelable {
  readonly open: (offset: number, length: number | undefined) => Promise<Opened>;
  readonly transport: Transport;
  readonly doing: string;
}

/** The bytes of a range; where the connection breaks, a new one goes on at the next byte. */
async function* resuming(
  first: Opened,
  { offset, length }: BlobRange,
  { open, transport, doing, signal }: Resumption,
): AsyncGenerator<Uint8Array> {
  const backoff = transport.backoff(doing);
  let doneBytes = 0;
  let { skipBytes } = first;
  let current: Opened | undefined = first;
  // A later answer must not change how long the blob is.
  const wantedBytes = length === undefined ? first.sizeBytes : Math.min(length, first.sizeBytes ?? length);
  try {
    while (wantedBytes === undefined || doneBytes < wantedBytes) {
      let chunk: Uint8Array | undefined;
      try {
        if (current === undefined) {
          current = await open(offset + doneBytes, length === undefined ? undefined : length - doneBytes);
          skipBytes = current.skipBytes;
        }
        chunk = await nextChunk(current, doing, signal);
        if (chunk === undefined && wantedBytes !== undefined) {
          throw new WorkerError(
            'REGISTRY_UNAVAILABLE',
            `${doing}: the answer ended after ${doneBytes} of ${wantedBytes} bytes`,
          );
        }
      } catch (thrown) {
        current?.close();
        current = undefined;
        await backoff.pause(thrown, { signal });
        continue;
      }
      if (chunk === undefined) return;
      if (skipBytes > 0) {
        const skipped = Math.min(skipBytes, chunk.length);
        skipBytes -= skipped;
        chunk = chunk.subarray(skipped);
      }
      if (wantedBytes !== undefined) chunk = chunk.subarray(0, wantedBytes - doneBytes);
      if (chunk.length === 0) continue;
      backoff.progressed();
      doneBytes += chunk.length;
      yield chunk;
    }
    if (current?.exact === true) await current.body.next();
  } finally {
    current?.close();
  }
}

async function nextChunk(opened: Opened, doing: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    const next = await opened.body.next();
    return next.done === true ? undefined : next.value;
  } catch (thrown) {
    signal.throwIfAborted();
    throw wireFailure(thrown, doing);
  }
}

async function* proven(bytes: AsyncIterable<Uint8Array>, digest: Digest, doing: string): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest)
    throw new WorkerError('BLOB_MISMATCH', `${doing}: the bytes have digest ${actual}`, { digest });
}
