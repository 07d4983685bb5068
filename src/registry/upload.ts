import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOfHex } from '../digest/index.ts';
import { systemCodeOf, toWorkerError, WorkerError } from '../errors/index.ts';
import { headBlob } from './blobs.ts';
import type { BlobSource, PushOptions, PushOutcome } from './client.ts';
import type { Repository } from './reference.ts';
import { type RegistryRequest, resolveLocation, scopeOf, type Transport } from './transport.ts';
import { nameOf, type WireBody, type WireResponse } from './wire.ts';

/** An upload that the registry has begun (distribution-spec 1.1, "Pushing blobs"). */
interface Session {
  readonly url: URL;
  /** Bytes the registry has. */
  readonly offset: number;
  readonly chunkBytes: number;
}

const CANCEL_TIMEOUT_MS = 5000;
const CANCEL_TRIES = 6;
const CANCEL_PAUSE_MS = 50;
const CANCELED = [200, 202, 204, 404];
const READ_BYTES = 1024 * 1024;
/** A registry that does not take chunks says so with one of these to the first. */
const CHUNK_REFUSALS: ReadonlySet<unknown> = new Set([400, 404, 405, 411, 415, 501]);

/** Sends a blob once, or finds that it need not be sent: HEAD, then mount, then one PUT or chunks. */
export async function pushBlob(
  transport: Transport,
  repository: Repository,
  blob: BlobSource,
  options: PushOptions,
): Promise<PushOutcome> {
  const { signal, mountFrom = [] } = options;
  await requireSource(blob);
  const there = await headBlob(transport, repository, blob.digest, { signal });
  if (there !== undefined) {
    if (there.sizeBytes === blob.sizeBytes) return 'present';
    throw new WorkerError(
      'BLOB_MISMATCH',
      `${repository.registry} has blob ${blob.digest} with ${there.sizeBytes} bytes instead of ${blob.sizeBytes}`,
      { digest: blob.digest },
    );
  }
  const upload = new Upload(transport, repository, blob, options);
  for (const from of mountFrom) {
    if (from !== repository.repository && (await upload.mount(from))) return 'mounted';
  }
  await upload.run();
  return 'sent';
}

class Upload {
  readonly #transport: Transport;
  readonly #repository: Repository;
  readonly #blob: BlobSource;
  readonly #options: PushOptions;
  #session: Session | undefined;

  constructor(transport: Transport, repository: Repository, blob: BlobSource, options: PushOptions) {
    this.#transport = transport;
    this.#repository = repository;
    this.#blob = blob;
    this.#options = options;
  }

  /** distribution-spec 1.1, "Mounting a blob from another repository". A refusal opens a normal upload, which is kept. */
  async mount(from: string): Promise<boolean> {
    const url = this.#transport.urlOf(this.#repository, 'blobs/uploads/');
    url.searchParams.set('mount', this.#blob.digest);
    url.searchParams.set('from', from);
    try {
      const response = await this.#transport.sendRetrying({
        ...this.#request('POST', url, [201, 202]),
        scopes: [scopeOf(this.#repository.repository, 'pull,push'), scopeOf(from, 'pull')],
      });
      await response.discard();
      if (response.status === 201) return true;
      await this.#cancel();
      this.#session = this.#begun(response);
    } catch (thrown) {
      // Not being let into the other repository is no reason not to push.
      if (
        !(thrown instanceof WorkerError) ||
        !['denied', 'unauthenticated', 'not_found', 'invalid'].includes(thrown.category)
      )
        throw thrown;
    }
    return false;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    const backoff = this.#transport.backoff(`push ${this.#blob.digest}`);
    let chunked = this.#blob.sizeBytes > this.#transport.limits.monolithicBytes;
    try {
      for (;;) {
        const before = this.#session?.offset ?? 0;
        try {
          this.#session ??= await this.#start();
          if (chunked) await this.#sendChunks(this.#session);
          else await this.#sendWhole(this.#session);
          return;
        } catch (thrown) {
          signal.throwIfAborted();
          if (chunked && (this.#session?.offset ?? 0) === 0 && isChunkRefusal(thrown)) {
            chunked = false;
            await this.#cancel();
            continue;
          }
          if ((this.#session?.offset ?? 0) > before) backoff.progressed();
          await backoff.pause(sessionLost(thrown) ? retryableForm(thrown) : thrown, { signal });
          if (await this.#recover(chunked)) return;
        }
      }
    } catch (thrown) {
      await this.#cancel();
      throw thrown;
    }
  }

  /** Where to go on after a failure. True when the registry has the whole blob: only its last answer was lost. */
  async #recover(chunked: boolean): Promise<boolean> {
    const { signal } = this.#options;
    const there = await headBlob(this.#transport, this.#repository, this.#blob.digest, { signal });
    if (there?.sizeBytes === this.#blob.sizeBytes) return true;
    const session = this.#session;
    const acknowledged = chunked && session !== undefined ? await this.#status(session) : undefined;
    if (acknowledged === undefined) await this.#cancel();
    else this.#session = acknowledged;
    return false;
  }

  async #start(): Promise<Session> {
    const response = await this.#transport.send(
      this.#request('POST', this.#transport.urlOf(this.#repository, 'blobs/uploads/'), [202]),
    );
    await response.discard();
    return this.#begun(response);
  }

  /** "Pushing a blob monolithically: POST then PUT". */
  async #sendWhole(session: Session): Promise<void> {
    await this.#finish(session, this.#bytes(0, this.#blob.sizeBytes));
  }

  /** "Pushing a blob in chunks". */
  async #sendChunks(start: Session): Promise<void> {
    let session = start;
    while (session.offset < this.#blob.sizeBytes) {
      const { offset, chunkBytes } = session;
      const end = Math.min(offset + chunkBytes, this.#blob.sizeBytes);
      const response = await this.#transport.send({
        ...this.#request('PATCH', session.url, [202, 201, 204]),
        headers: { 'content-type': 'application/octet-stream', 'content-range': `${offset}-${end - 1}` },
        body: this.#bytes(offset, end),
        unbounded: true,
      });
      await response.discard();
      session = this.#advanced(session, response, end);
      this.#session = session;
      if (session.offset <= offset)
        throw new WorkerError(
          'REGISTRY_UNAVAILABLE',
          `${nameOf('PATCH', session.url)}: the registry took no byte of a chunk at ${offset}`,
        );
    }
    await this.#finish(session, { sizeBytes: 0, open: () => new Uint8Array() });
  }

  async #finish(session: Session, body: WireBody): Promise<void> {
    const url = new URL(session.url);
    url.searchParams.set('digest', this.#blob.digest);
    const headers = { 'content-type': 'application/octet-stream' };
    try {
      const response = await this.#transport.send({
        ...this.#request('PUT', url, [201, 204]),
        headers,
        body,
        unbounded: true,
      });
      await response.discard();
    } catch (thrown) {
      if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_REFUSED') await this.#explainRefusal(thrown);
      throw thrown;
    }
    this.#options.onProgress?.(this.#blob.sizeBytes);
    this.#session = undefined;
  }

  /** Registries name a wrong digest differently; only now, when one refuses the blob, are our bytes hashed. Throws BLOB_MISMATCH. */
  async #explainRefusal(refusal: WorkerError): Promise<void> {
    const blob = this.#blob;
    const hash = createHash('sha256');
    const source = 'bytes' in blob ? [blob.bytes] : createReadStream(blob.path, { highWaterMark: READ_BYTES });
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      this.#options.signal.throwIfAborted();
      hash.update(chunk);
    }
    const actual = digestOfHex(hash.digest('hex'));
    if (actual === blob.digest) return;
    throw new WorkerError(
      'BLOB_MISMATCH',
      `the blob to push as ${blob.digest} has digest ${actual}: ${refusal.message}`,
      { digest: blob.digest },
      { cause: refusal },
    );
  }

  /** What the registry has of the upload; undefined when it does not know it any more. */
  async #status(session: Session): Promise<Session | undefined> {
    try {
      const status = await this.#ask(session, this.#options.signal);
      return status.offset <= this.#blob.sizeBytes ? status : undefined;
    } catch (thrown) {
      this.#options.signal.throwIfAborted();
      if (thrown instanceof WorkerError) return undefined; // begin again: always right, at the price of the bytes
      throw thrown;
    }
  }

  async #ask(session: Session, signal: AbortSignal): Promise<Session> {
    const response = await this.#transport.send({ ...this.#request('GET', session.url, [204, 202, 200]), signal });
    await response.discard();
    return this.#advanced(session, response, undefined);
  }

  /** Tells the registry to drop the upload, as well as it can be told. */
  async #cancel(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined) return;
    const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
    try {
      await this.#cancelAt(session, signal);
    } catch {
      // It expires by itself.
    }
  }

  /**
   * distribution refuses (416) an address whose state is older than the bytes it has, and goes on writing a chunk that was
   * cut for a moment: then it is asked for the newest address and told again.
   */
  async #cancelAt(session: Session, signal: AbortSignal, triesLeft = CANCEL_TRIES): Promise<void> {
    try {
      await this.#delete(session.url, signal);
    } catch (thrown) {
      if (triesLeft <= 1) throw thrown;
      await sleep(CANCEL_PAUSE_MS, undefined, { signal });
      await this.#cancelAt(await this.#ask(session, signal), signal, triesLeft - 1);
    }
  }

  async #delete(url: URL, signal: AbortSignal): Promise<void> {
    const scopes = [scopeOf(this.#repository.repository, 'pull,push,delete')];
    const response = await this.#transport.send({ ...this.#request('DELETE', url, CANCELED), scopes, signal });
    await response.discard();
  }

  #begun(response: WireResponse): Session {
    const { limits } = this.#transport;
    const minimum = Number(response.header('oci-chunk-min-length') ?? 0);
    const chunkBytes = Math.max(limits.chunkBytes, Number.isSafeInteger(minimum) ? minimum : 0);
    return { url: locationOf(response), offset: 0, chunkBytes };
  }

  /** The session after an answer; without a Range the registry took the chunk to its end. */
  #advanced(session: Session, response: WireResponse, end: number | undefined): Session {
    const location = response.header('location');
    const url = location === undefined ? session.url : resolveLocation(location, response.url);
    return { ...session, url, offset: acknowledgedBytes(response.header('range')) ?? end ?? 0 };
  }

  #bytes(start: number, end: number): WireBody {
    const { onProgress } = this.#options;
    const blob = this.#blob;
    return {
      sizeBytes: end - start,
      open: () => {
        if ('bytes' in blob) return blob.bytes.subarray(start, end);
        if (start === end) return new Uint8Array();
        return counted(
          createReadStream(blob.path, { start, end: end - 1, highWaterMark: READ_BYTES }),
          start,
          onProgress,
        );
      },
    };
  }

  #request(method: RegistryRequest['method'], url: URL, expect: readonly number[]): RegistryRequest {
    const { registry, repository } = this.#repository;
    return { method, registry, url, scopes: [scopeOf(repository, 'pull,push')], expect, signal: this.#options.signal };
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  start: number,
  onProgress: ((sentBytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let sentBytes = start;
  for await (const chunk of source) {
    yield chunk;
    sentBytes += chunk.length;
    onProgress?.(sentBytes);
  }
}

/**
 * `0-<last byte>`. distribution answers `0-0` for no byte at all; taking it for none is right there, and elsewhere at worst
 * sends one byte again, which the registry answers with 416.
 */
function acknowledgedBytes(range: string | undefined): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(range ?? '')?.[1];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
}

function locationOf(response: WireResponse): URL {
  const location = response.header('location');
  if (location === undefined)
    throw new WorkerError('REGISTRY_PROTOCOL', `${nameOf('POST', response.url)}: an upload without a Location`);
  return resolveLocation(location, response.url);
}

function isChunkRefusal(thrown: unknown): boolean {
  return thrown instanceof WorkerError && CHUNK_REFUSALS.has(thrown.details['status']);
}

/** The registry does not know the upload any more (404) or has another number of bytes (416). */
function sessionLost(thrown: unknown): boolean {
  return thrown instanceof WorkerError && (thrown.details['status'] === 404 || thrown.details['status'] === 416);
}

function retryableForm(thrown: unknown): WorkerError {
  return new WorkerError(
    'REGISTRY_UNAVAILABLE',
    thrown instanceof Error ? thrown.message : 'upload lost',
    {},
    { cause: thrown },
  );
}

async function requireSource(blob: BlobSource): Promise<void> {
  const sizeBytes = 'bytes' in blob ? blob.bytes.length : await sizeOfFile(blob);
  if (sizeBytes !== blob.sizeBytes)
    throw new WorkerError(
      'BLOB_MISMATCH',
      `blob ${blob.digest} to push has ${sizeBytes} bytes instead of ${blob.sizeBytes}`,
      { digest: blob.digest },
    );
}

async function sizeOfFile({ digest, path }: Extract<BlobSource, { path: string }>): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT')
      throw new WorkerError('BLOB_MISSING', `blob ${digest} to push is not at ${path}`, { digest }, { cause: thrown });
    throw toWorkerError(thrown, `look at ${path}`);
  }
}
