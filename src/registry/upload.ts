import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { digestOfHex, type Expected } from '../digest/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../errors/index.ts';
import { headBlob } from './blobs.ts';
import type { BlobSource, FollowedBlob, FollowOptions, PushOptions, PushOutcome } from './client.ts';
import type { GrowingBlob } from './growing-blob.ts';
import type { Repository } from './reference.ts';
import { scopeOf, type Transport } from './transport.ts';
import { UploadSession } from './upload-session.ts';
import { finishedSource, growingSource, type UploadSource } from './upload-source.ts';
import type { WireBody } from './wire.ts';

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
  if (await isThere(transport, repository, blob, { signal })) return 'present';
  const upload = new Upload(transport, repository, finishedSource(blob), options);
  for (const from of mountFrom) {
    if (from !== repository.repository && (await upload.mount(from, blob))) return 'mounted';
  }
  await upload.run({ chunked: blob.sizeBytes > transport.limits.monolithicBytes });
  return 'sent';
}

/**
 * Sends a blob while it is written: chunk after chunk of what is there, and the digest at the end. A registry that takes no
 * chunks gets it whole when it is finished; one that turns out to have it keeps its own.
 */
export async function pushGrowing(
  transport: Transport,
  repository: Repository,
  blob: GrowingBlob,
  options: FollowOptions,
): Promise<FollowedBlob> {
  const upload = new Upload(transport, repository, growingSource(blob), options);
  const outcome = await upload.run({ chunked: true });
  return { outcome, sentBytes: upload.sentBytes };
}

class Upload {
  readonly #transport: Transport;
  readonly #repository: Repository;
  readonly #source: UploadSource;
  readonly #options: FollowOptions;
  readonly #session: UploadSession;
  /** Whether the registry was asked for the blob by its digest. */
  #isAsked: boolean;
  #sentBytes = 0;

  constructor(transport: Transport, repository: Repository, source: UploadSource, options: FollowOptions) {
    this.#transport = transport;
    this.#repository = repository;
    this.#source = source;
    this.#options = options;
    this.#session = new UploadSession(transport, repository, options);
    this.#isAsked = source.final !== undefined;
  }

  /** Bytes that the registry took, also those it was told to drop again. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** distribution-spec 1.1, "Mounting a blob from another repository". A refusal opens a normal upload, which is kept. */
  async mount(from: string, { digest }: Expected): Promise<boolean> {
    const url = this.#transport.urlOf(this.#repository, 'blobs/uploads/');
    url.searchParams.set('mount', digest);
    url.searchParams.set('from', from);
    try {
      const response = await this.#transport.sendRetrying({
        ...this.#session.request('POST', url, [201, 202]),
        scopes: [scopeOf(this.#repository.repository, 'pull,push'), scopeOf(from, 'pull')],
      });
      await response.discard();
      if (response.status === 201) return true;
      await this.#session.cancel();
      await this.#session.adopt(response);
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

  async run({ chunked: mayChunk }: { readonly chunked: boolean }): Promise<'sent' | 'present'> {
    const { signal } = this.#options;
    const backoff = this.#transport.backoff(`push ${this.#source.final?.digest ?? 'a blob that is being written'}`);
    let chunked = mayChunk;
    let refusedAt: number | undefined;
    try {
      for (;;) {
        const before = this.#session.offset;
        try {
          return chunked ? await this.#sendChunks() : await this.#sendWhole();
        } catch (thrown) {
          signal.throwIfAborted();
          const { offset } = this.#session;
          if (offset > before) backoff.progressed();
          // A chunk that begins where the registry says, refused twice: it takes no second chunk.
          const noSecond = statusOf(thrown) === 416 && offset === refusedAt;
          if (statusOf(thrown) === 416) refusedAt = offset;
          if (chunked && (noSecond || (offset === 0 && isChunkRefusal(thrown)))) {
            chunked = false;
            await this.#session.cancel();
            continue;
          }
          await backoff.pause(sessionLost(thrown) ? retryableForm(thrown) : thrown, { signal });
          if (await this.#recover(chunked)) return 'sent';
        }
      }
    } catch (thrown) {
      await this.#session.cancel();
      throw thrown;
    }
  }

  /** Where to go on after a failure. True when the registry has the whole blob: only its last answer was lost. */
  async #recover(chunked: boolean): Promise<boolean> {
    const { signal } = this.#options;
    const { final } = this.#source;
    if (final !== undefined) {
      const there = await headBlob(this.#transport, this.#repository, final.digest, { signal });
      if (there?.sizeBytes === final.sizeBytes) return true;
    }
    const { writtenBytes } = await this.#source.atLeast(0, { signal });
    if (!chunked || !(await this.#session.resume(writtenBytes))) await this.#session.cancel();
    return false;
  }

  /** "Pushing a blob monolithically: POST then PUT". */
  async #sendWhole(): Promise<'sent' | 'present'> {
    const { signal } = this.#options;
    const { final } = await this.#source.atLeast(Number.POSITIVE_INFINITY, { signal });
    if (final === undefined) throw new WorkerError('INTERNAL', 'a blob without an end');
    if (await this.#isPresent(final)) return 'present';
    await this.#session.begin();
    await this.#inTurn(() => this.#finish(final, this.#body(0, final.sizeBytes)));
    this.#sentBytes += final.sizeBytes;
    return 'sent';
  }

  /** "Pushing a blob in chunks": each of what is there, not less than is worth a request unless it is the last. */
  async #sendChunks(): Promise<'sent' | 'present'> {
    const { signal } = this.#options;
    const session = this.#session;
    for (;;) {
      const worthwhile = session.offset + this.#transport.limits.monolithicBytes;
      const known = await this.#source.atLeast(worthwhile, { signal });
      if (known.final !== undefined && (await this.#isPresent(known.final))) return 'present';
      const { chunkBytes, minBytes } = await session.begin();
      const { offset } = session;
      const { final, writtenBytes } = await this.#source.atLeast(offset + minBytes, { signal });
      if (final !== undefined && offset >= final.sizeBytes) {
        await this.#finish(final, { sizeBytes: 0, open: () => new Uint8Array() });
        return 'sent';
      }
      const end = Math.min(offset + chunkBytes, writtenBytes);
      await this.#inTurn(() => session.patch(this.#body(offset, end), end));
      this.#sentBytes += session.offset - offset;
    }
  }

  /** Asked once, as soon as the digest is known. What was sent already is dropped then. */
  async #isPresent(final: Expected): Promise<boolean> {
    if (this.#isAsked) return false;
    const there = await isThere(this.#transport, this.#repository, final, this.#options);
    this.#isAsked = true;
    if (there) await this.#session.cancel();
    return there;
  }

  async #finish(final: Expected, body: WireBody): Promise<void> {
    try {
      await this.#session.finish(final.digest, body);
    } catch (thrown) {
      if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_REFUSED')
        await this.#explainRefusal(final, thrown);
      throw thrown;
    }
    this.#options.onProgress?.(final.sizeBytes);
  }

  /** Registries name a wrong digest differently; only now, when one refuses the blob, are our bytes hashed. Throws BLOB_MISMATCH. */
  async #explainRefusal({ digest, sizeBytes }: Expected, refusal: WorkerError): Promise<void> {
    const hash = createHash('sha256');
    const bytes = this.#source.bytes(0, sizeBytes);
    for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
      this.#options.signal.throwIfAborted();
      hash.update(chunk);
    }
    const actual = digestOfHex(hash.digest('hex'));
    if (actual === digest) return;
    throw new WorkerError(
      'BLOB_MISMATCH',
      `the blob to push as ${digest} has digest ${actual}: ${refusal.message}`,
      { digest },
      { cause: refusal },
    );
  }

  /** Bytes move only in a turn; whoever waits for the writer holds none. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    const { signal, turn } = this.#options;
    if (turn === undefined) await work();
    else
      await turn(async () => {
        signal.throwIfAborted();
        await work();
      });
  }

  #body(start: number, end: number): WireBody {
    const { onProgress } = this.#options;
    return {
      sizeBytes: end - start,
      open: () => {
        const bytes = this.#source.bytes(start, end);
        return bytes instanceof Uint8Array ? bytes : counted(bytes, start, onProgress);
      },
    };
  }
}

/** Throws BLOB_MISMATCH for a blob of the same digest and another size. */
async function isThere(
  transport: Transport,
  repository: Repository,
  { digest, sizeBytes }: Expected,
  { signal }: Cancelable,
): Promise<boolean> {
  const there = await headBlob(transport, repository, digest, { signal });
  if (there === undefined || there.sizeBytes === sizeBytes) return there !== undefined;
  throw new WorkerError(
    'BLOB_MISMATCH',
    `${repository.registry} has blob ${digest} with ${there.sizeBytes} bytes instead of ${sizeBytes}`,
    { digest },
  );
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

function statusOf(thrown: unknown): unknown {
  return thrown instanceof WorkerError ? thrown.details['status'] : undefined;
}

function isChunkRefusal(thrown: unknown): boolean {
  return CHUNK_REFUSALS.has(statusOf(thrown)) && !isUnknownUpload(thrown);
}

/** The registry does not know the upload any more (404; olareg says 400) or has another number of bytes (416). */
function sessionLost(thrown: unknown): boolean {
  const status = statusOf(thrown);
  return status === 404 || status === 416 || isUnknownUpload(thrown);
}

/** distribution-spec 1.1, "Error Codes": a registry that was started again may have forgotten what was begun. */
function isUnknownUpload(thrown: unknown): boolean {
  return thrown instanceof WorkerError && thrown.details['registryCode'] === 'BLOB_UPLOAD_UNKNOWN';
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
  if ('read' in blob) return;
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
