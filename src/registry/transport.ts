import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Authorizer } from './auth/authorizer.ts';
import { Backoff, retrying } from './backoff.ts';
import type { Clock } from './clock.ts';
import { endpointOf, type PlainHttp, requireSecure } from './endpoint.ts';
import type { RegistryLimits } from './limits.ts';
import type { Repository } from './reference.ts';
import { refusalError } from './refusal.ts';
import { nameOf, type Wire, type WireBody, type WireRequest, type WireResponse } from './wire.ts';

export type Access = 'pull' | 'pull,push' | 'pull,push,delete';

export interface RegistryRequest extends Cancelable {
  readonly method: WireRequest['method'];
  /** Whose login applies. */
  readonly registry: string;
  readonly url: URL;
  /** What a token must allow, `repository:name:pull,push`. */
  readonly scopes: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: WireBody | undefined;
  /** Statuses that are an answer; every other one is thrown. */
  readonly expect: readonly number[];
  /** Blob bytes flow: no deadline for the whole, only for standing still. */
  readonly unbounded?: boolean;
}

export interface TransportOptions {
  readonly wire: Wire;
  readonly authorizer: Authorizer;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly plainHttp: PlainHttp;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REFUSAL_BYTES = 64 * 1024;

/** Requests to registries with login, redirects and deadlines; `retrying` around it decides about further tries. */
export class Transport {
  readonly limits: RegistryLimits;
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.limits = options.limits;
  }

  /** `/v2/<repository>/<path>` at the registry. */
  urlOf({ registry, repository }: Repository, path: string): URL {
    return new URL(`/v2/${repository}/${path}`, this.baseOf(registry));
  }

  baseOf(registry: string): URL {
    return endpointOf(registry, this.#options.plainHttp);
  }

  /** Sends, and again after a login when one is wanted. Throws what the registry refuses as REGISTRY_…. */
  async send(request: RegistryRequest): Promise<WireResponse> {
    const { signal, unbounded = false } = request;
    const bounded = unbounded ? signal : AbortSignal.any([signal, AbortSignal.timeout(this.limits.requestTimeoutMs)]);
    const { authorizer } = this.#options;
    const { registry, scopes } = request;
    const used = this.#isOwn(request.url, registry)
      ? await authorizer.header(registry, scopes, { signal: bounded })
      : undefined;
    let response = await this.#follow(request, used, bounded);
    let header = used;
    const challenge = response.header('www-authenticate');
    if (response.status === 401 && challenge !== undefined && this.#isOwn(response.url, registry)) {
      await response.discard();
      header = await authorizer.answer(registry, scopes, challenge, used, { signal: bounded });
      response = await this.#follow(request, header, bounded);
    }
    if (request.expect.includes(response.status)) return response;
    throw await this.#refusal(request.method, response, header);
  }

  /** `send` for requests that may be repeated as they are. */
  async sendRetrying(request: RegistryRequest): Promise<WireResponse> {
    return await this.retrying(nameOf(request.method, request.url), request, () => this.send(request));
  }

  async retrying<T>(what: string, { signal }: Cancelable, work: () => Promise<T>): Promise<T> {
    return await retrying(what, { ...this.#options, signal }, work);
  }

  /** A while by chance, after which clients that came between each other do not again. */
  async shortPause({ signal }: Cancelable): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(Math.ceil(this.limits.pauseMs * clock.random()), { signal });
  }

  backoff(what: string): Backoff {
    return new Backoff(what, this.#options);
  }

  /** Follows redirects by hand: the login stays with the registry, and no redirect leads to plain http elsewhere. */
  async #follow(
    { method, url: start, headers = {}, body, registry }: RegistryRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<WireResponse> {
    let url = start;
    for (let redirects = 0; ; redirects++) {
      const login = authorization !== undefined && this.#isOwn(url, registry) ? { authorization } : {};
      const response = await this.#options.wire.exchange({
        method,
        url,
        headers: { ...headers, ...login },
        body,
        signal,
      });
      const location = response.header('location');
      // 303 and the old meaning of 301 and 302 turn writes into reads: only reads follow those.
      const followed =
        method === 'GET' || method === 'HEAD'
          ? REDIRECTS.has(response.status)
          : response.status === 307 || response.status === 308;
      if (!followed || location === undefined) return response;
      await response.discard();
      if (redirects >= MAX_REDIRECTS)
        throw new WorkerError('REGISTRY_PROTOCOL', `${nameOf(method, start)}: more than ${MAX_REDIRECTS} redirects`);
      url = resolveLocation(location, url);
      requireSecure(url, this.#options.plainHttp, `the redirect of ${nameOf(method, start)}`);
    }
  }

  #isOwn(url: URL, registry: string): boolean {
    return url.origin === this.baseOf(registry).origin;
  }

  async #refusal(method: string, response: WireResponse, authorization: string | undefined): Promise<WorkerError> {
    const { status, url } = response;
    const body = method === 'HEAD' ? '' : await response.bytes(MAX_REFUSAL_BYTES).then(String, () => '');
    if (method === 'HEAD') await response.discard();
    const secrets = authorization === undefined ? [] : [authorization.slice(authorization.indexOf(' ') + 1)];
    const error = refusalError(
      nameOf(method, url),
      { status, retryAfter: response.header('retry-after'), body, secrets },
      this.#options.clock,
    );
    if (error.code !== 'REGISTRY_UNAUTHENTICATED' || authorization === undefined) return error;
    // A fresh token that does not reach far enough: the login is known, the right is missing.
    const insufficient = response.header('www-authenticate')?.includes('insufficient_scope') === true;
    return new WorkerError(
      insufficient ? 'REGISTRY_DENIED' : error.code,
      `the login is not accepted: ${error.message}`,
      error.details,
    );
  }
}

/** The scope of a request inside a repository (distribution, "Token Scope Documentation"). */
export function scopeOf(repository: string, access: Access): string {
  return `repository:${repository}:${access}`;
}

/** A Location header, absolute or relative. Throws REGISTRY_PROTOCOL. */
export function resolveLocation(location: string, base: URL): URL {
  if (!URL.canParse(location, base.href))
    throw new WorkerError('REGISTRY_PROTOCOL', `${base.host} answers a Location that is no address`);
  const url = new URL(location, base);
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}
