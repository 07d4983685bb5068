import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { Repository } from './reference.ts';
import { type RegistryRequest, resolveLocation, scopeOf, type Transport } from './transport.ts';
import { nameOf, type WireBody, type WireResponse } from './wire.ts';

interface State {
  readonly url: URL;
  /** Bytes the registry has. */
  readonly offset: number;
  /** Of one chunk, at least and at most. */
  readonly minBytes: number;
  readonly chunkBytes: number;
}

const CANCEL_TIMEOUT_MS = 5000;
const CANCEL_TRIES = 6;
const CANCEL_PAUSE_MS = 50;
const CANCELED = [200, 202, 204, 404];
const HEADERS = { 'content-type': 'application/octet-stream' };

/**
 * One upload as the registry knows it (distribution-spec 1.1, "Pushing blobs"): begun, fed, asked, finished or cancelled.
 * No retries here: after a failure the caller decides whether to `resume`.
 */
export class UploadSession {
  readonly #transport: Transport;
  readonly #repository: Repository;
  readonly #signal: AbortSignal;
  readonly #onBegun: ((uploadUrl: string) => Promise<void>) | undefined;
  #state: State | undefined;

  constructor(
    transport: Transport,
    repository: Repository,
    { onBegun, signal }: Cancelable & { readonly onBegun?: (uploadUrl: string) => Promise<void> },
  ) {
    this.#transport = transport;
    this.#repository = repository;
    this.#signal = signal;
    this.#onBegun = onBegun;
  }

  /** Bytes the registry has of this upload. */
  get offset(): number {
    return this.#state?.offset ?? 0;
  }

  /** Begins an upload unless there is one, and tells how large its chunks may be. */
  async begin(): Promise<{ readonly minBytes: number; readonly chunkBytes: number }> {
    if (this.#state === undefined) {
      const url = this.#transport.urlOf(this.#repository, 'blobs/uploads/');
      const response = await this.#transport.send(this.request('POST', url, [202]));
      await response.discard();
      await this.adopt(response);
    }
    return this.#open();
  }

  /** Takes over an upload that the registry has begun, be it by itself: its answer to a mount that it refused. */
  async adopt(response: WireResponse): Promise<void> {
    this.#state = this.#begun(response);
    await this.#onBegun?.(this.#state.url.href);
  }

  /** Takes over an upload that another process began and left. */
  take(uploadUrl: string): void {
    this.#state = { url: new URL(uploadUrl), offset: 0, minBytes: 0, chunkBytes: this.#transport.limits.chunkBytes };
  }

  /** "Pushing a blob in chunks": the bytes from `offset` to `end`. */
  async patch(body: WireBody, end: number): Promise<void> {
    const state = this.#open();
    const { offset, url } = state;
    const response = await this.#transport.send({
      ...this.request('PATCH', url, [202, 201, 204]),
      headers: { ...HEADERS, 'content-range': `${offset}-${end - 1}` },
      body,
      unbounded: true,
    });
    await response.discard();
    const advanced = advancedBy(state, response, end);
    this.#state = advanced;
    if (advanced.offset <= offset)
      throw new WorkerError(
        'REGISTRY_UNAVAILABLE',
        `${nameOf('PATCH', url)}: the registry took no byte of a chunk at ${offset}`,
      );
  }

  /** Ends the upload; `body` is the whole blob, or nothing after chunks. */
  async finish(digest: Digest, body: WireBody): Promise<void> {
    const url = new URL(this.#open().url);
    url.searchParams.set('digest', digest);
    const response = await this.#transport.send({
      ...this.request('PUT', url, [201, 204]),
      headers: HEADERS,
      body,
      unbounded: true,
    });
    await response.discard();
    this.#state = undefined;
  }

  /** Asks how far the upload is. False when the registry does not know it any more, or has more than `limitBytes`. */
  async resume(limitBytes: number): Promise<boolean> {
    if (this.#state === undefined) return false;
    try {
      const state = await this.#ask(this.#state, this.#signal);
      if (state.offset > limitBytes) return false;
      this.#state = state;
      return true;
    } catch (thrown) {
      this.#signal.throwIfAborted();
      if (thrown instanceof WorkerError) return false; // begin again: always right, at the price of the bytes
      throw thrown;
    }
  }

  /**
   * Tells the registry to drop the upload, as well as it can be told; also when the caller was stopped. What it does not drop
   * expires by itself. False: it did not answer.
   */
  async cancel(): Promise<boolean> {
    const state = this.#state;
    this.#state = undefined;
    if (state === undefined) return true;
    const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
    try {
      await this.#cancelAt(state, signal);
      return true;
    } catch (thrown) {
      return thrown instanceof WorkerError && !thrown.retryable;
    }
  }

  request(method: RegistryRequest['method'], url: URL, expect: readonly number[]): RegistryRequest {
    const { registry, repository } = this.#repository;
    return { method, registry, url, scopes: [scopeOf(repository, 'pull,push')], expect, signal: this.#signal };
  }

  #open(): State {
    if (this.#state === undefined) throw new WorkerError('INTERNAL', 'no upload was begun');
    return this.#state;
  }

  async #ask(state: State, signal: AbortSignal): Promise<State> {
    const response = await this.#transport.send({ ...this.request('GET', state.url, [204, 202, 200]), signal });
    await response.discard();
    return advancedBy(state, response, undefined);
  }

  /**
   * distribution refuses (416) an address whose state is older than the bytes it has, and goes on writing a chunk that was
   * cut for a moment: then it is asked for the newest address and told again.
   */
  async #cancelAt(state: State, signal: AbortSignal, triesLeft = CANCEL_TRIES): Promise<void> {
    try {
      await this.#delete(state.url, signal);
    } catch (thrown) {
      if (triesLeft <= 1) throw thrown;
      await sleep(CANCEL_PAUSE_MS, undefined, { signal });
      await this.#cancelAt(await this.#ask(state, signal), signal, triesLeft - 1);
    }
  }

  async #delete(url: URL, signal: AbortSignal): Promise<void> {
    const scopes = [scopeOf(this.#repository.repository, 'pull,push,delete')];
    const response = await this.#transport.send({ ...this.request('DELETE', url, CANCELED), scopes, signal });
    await response.discard();
  }

  #begun(response: WireResponse): State {
    const { limits } = this.#transport;
    const asked = Number(response.header('oci-chunk-min-length') ?? 0);
    const minBytes = Number.isSafeInteger(asked) ? asked : 0;
    return { url: locationOf(response), offset: 0, minBytes, chunkBytes: Math.max(limits.chunkBytes, minBytes) };
  }
}

/** The state after an answer; without a Range the registry took the chunk to its end. */
function advancedBy(state: State, response: WireResponse, end: number | undefined): State {
  const location = response.header('location');
  const url = location === undefined ? state.url : resolveLocation(location, response.url);
  return { ...state, url, offset: acknowledgedBytes(response.header('range')) ?? end ?? 0 };
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

/** Drops an upload that a process left which is gone. False: the registry did not answer. */
export async function dropUpload(transport: Transport, repository: Repository, uploadUrl: string): Promise<boolean> {
  const session = new UploadSession(transport, repository, { signal: new AbortController().signal });
  session.take(uploadUrl);
  return await session.cancel();
}

function locationOf(response: WireResponse): URL {
  const location = response.header('location');
  if (location === undefined)
    throw new WorkerError('REGISTRY_PROTOCOL', `${nameOf('POST', response.url)}: an upload without a Location`);
  return resolveLocation(location, response.url);
}
