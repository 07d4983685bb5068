import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from 'undici';
import { type Cancelable, type ErrorCode, messageOf, WorkerError } from '../../errors/index.ts';
import { isLoopback } from '../../registry/index.ts';
import type { Log, Secret } from '../../telemetry/index.ts';
import { type Trust, trusting } from '../../tls/index.ts';

export interface PackagesApiOptions {
  /** `https://api.github.com`, or a server of one's own; plain http to loopback only. */
  readonly api: string;
  /** Sent to this server and to no other, and never written anywhere. */
  readonly token: Secret;
  readonly trust?: Trust | undefined;
  readonly log: Log;
  /** How long all waiting for a rate limit may take. */
  readonly patienceMs?: number;
}

export interface ApiAnswer {
  readonly status: number;
  readonly json: unknown;
  /** The next page, at the same server. */
  readonly next: URL | undefined;
}

const PATIENCE_MS = 120_000;
const ATTEMPTS = 5;
const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CODES: Readonly<Record<number, ErrorCode>> = { 401: 'REGISTRY_UNAUTHENTICATED', 403: 'REGISTRY_DENIED' };

/** Requests to GitHub's REST API (version 2022-11-28): rate limits, pages, refusals. */
export class PackagesApi implements AsyncDisposable {
  readonly #base: URL;
  readonly #options: PackagesApiOptions;
  #agent: Agent | undefined;
  #waitedMs = 0;

  /** Throws CONFIG_INVALID, REGISTRY_INSECURE. */
  constructor(options: PackagesApiOptions) {
    if (!URL.canParse(options.api)) throw new WorkerError('CONFIG_INVALID', `${options.api} is no address of an API`);
    this.#options = options;
    this.#base = new URL(options.api);
    if (this.#base.protocol !== 'https:' && !(this.#base.protocol === 'http:' && isLoopback(this.#base.host)))
      throw new WorkerError('REGISTRY_INSECURE', `${this.#base.host}: the token goes over https only`);
  }

  /** `path` begins with a slash; its parts are encoded. */
  urlOf(path: string): URL {
    return new URL(`${this.#base.pathname.replace(/\/$/, '')}${path}`, this.#base);
  }

  /** An answer with one of the statuses that are expected. A rate limit is waited for. Throws REGISTRY_…. */
  async send(
    method: 'GET' | 'DELETE',
    url: URL,
    { expect, signal }: Cancelable & { readonly expect: readonly number[] },
  ): Promise<ApiAnswer> {
    const doing = `${method} ${url.host}${url.pathname}`;
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#exchange(method, url, doing, { signal });
      if (expect.includes(answer.status)) return answer;
      const waitMs = answer.waitMs ?? (answer.status >= 500 ? 250 * 2 ** attempt : undefined);
      const patienceMs = this.#options.patienceMs ?? PATIENCE_MS;
      if (waitMs === undefined || attempt >= ATTEMPTS || this.#waitedMs + waitMs > patienceMs)
        throw refusalOf(method, doing, answer);
      this.#waitedMs += waitMs;
      await sleep(waitMs, undefined, { signal }).catch(() => {
        signal.throwIfAborted();
      });
    }
  }

  /**
   * What a classic token may do, as GitHub names it; undefined for tokens of other kinds, of which it says nothing. The request counts
   * against no rate limit.
   */
  async tokenScopes({ signal }: Cancelable): Promise<readonly string[] | undefined> {
    const url = this.urlOf('/rate_limit');
    const { scopes, status } = await this.#exchange('GET', url, `GET ${url.host}${url.pathname}`, { signal });
    if (status !== 200 || scopes === undefined) return undefined;
    return scopes.split(',').flatMap((scope) => scope.trim() || []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.destroy();
  }

  async #exchange(method: string, url: URL, doing: string, { signal }: Cancelable): Promise<RawAnswer> {
    if (url.origin !== this.#base.origin)
      throw new WorkerError('REGISTRY_PROTOCOL', `${doing}: the token goes to ${this.#base.host} only`);
    const { Agent, request } = await import('undici');
    const { trust } = this.#options;
    this.#agent ??= new Agent(trust === undefined ? {} : { connect: { secureContext: trusting(trust) } });
    try {
      const { body, headers, statusCode } = await request(url, {
        method: method as 'GET',
        dispatcher: this.#agent,
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        headers: {
          accept: 'application/vnd.github+json',
          'x-github-api-version': '2022-11-28',
          'user-agent': 'clipyard',
          authorization: `Bearer ${this.#options.token.reveal()}`,
        },
      });
      const parts: Uint8Array[] = [];
      let sizeBytes = 0;
      for await (const part of body as AsyncIterable<Uint8Array>) {
        sizeBytes += part.length;
        if (sizeBytes > MAX_ANSWER_BYTES) throw new WorkerError('LIMIT_EXCEEDED', `${doing}: a huge answer`);
        parts.push(part);
      }
      this.#options.log.debug({ method, host: url.host, path: url.pathname, status: statusCode }, 'packages request');
      const header = (name: string) => [headers[name]].flat()[0];
      const text = Buffer.concat(parts).toString('utf8').replaceAll(this.#options.token.reveal(), '[redacted]');
      return {
        status: statusCode,
        json: jsonOf(text),
        next: nextOf(header('link'), url),
        waitMs: waitOf(statusCode, header),
        scopes: header('x-oauth-scopes'),
        signOn: header('x-github-sso'),
      };
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof WorkerError) throw thrown;
      throw new WorkerError('REGISTRY_UNAVAILABLE', `${doing}: ${messageOf(thrown)}`, {}, { cause: thrown });
    }
  }
}

type RawAnswer = ApiAnswer & {
  readonly waitMs: number | undefined;
  /** What a classic token may do, where GitHub says it. */
  readonly scopes: string | undefined;
  /** Set where the organization wants a single sign-on first. */
  readonly signOn: string | undefined;
};

/** What GitHub says in words. */
export function messageIn(json: unknown): string {
  const message = typeof json === 'object' && json !== null && 'message' in json ? json.message : undefined;
  return typeof message === 'string' ? message.slice(0, 500) : '';
}

function refusalOf(method: 'GET' | 'DELETE', doing: string, answer: RawAnswer): WorkerError {
  const { json, status, waitMs } = answer;
  const code =
    waitMs !== undefined
      ? 'REGISTRY_THROTTLED'
      : (CODES[status] ??
        (status === 404 ? 'REGISTRY_NOT_FOUND' : status >= 500 ? 'REGISTRY_UNAVAILABLE' : 'REGISTRY_REFUSED'));
  const why = waitMs === undefined ? explained(method, answer) : 'the rate limit is spent; try again later';
  const said = `${doing}: ${status} ${messageIn(json)}`.trim();
  return new WorkerError(code, why === undefined ? said : `${said} (${why})`, { status });
}

/** What a person can do about it. */
function explained(method: 'GET' | 'DELETE', { scopes, signOn, status }: RawAnswer): string | undefined {
  if (status === 401) return 'the token is unknown, revoked or expired';
  if (status >= 300 && status < 400)
    return 'it leads elsewhere, where the token is not sent: the owner may have a new name';
  if (status !== 403 && status !== 404) return undefined;
  if (signOn !== undefined) return "the token must be authorized for the organization's single sign-on";
  const needed = method === 'GET' ? 'read:packages' : 'read:packages and delete:packages';
  return `the token needs ${needed}${scopes === undefined ? '' : `; it has ${scopes.trim() || 'no scope'}`}`;
}

/** "Rate limits for the REST API": 403 or 429 with Retry-After, or with nothing left until a time in seconds. */
function waitOf(status: number, header: (name: string) => string | undefined): number | undefined {
  if (status !== 403 && status !== 429) return undefined;
  const after = header('retry-after');
  if (after !== undefined && /^\d{1,6}$/.test(after)) return Number(after) * 1000;
  const reset = Number(header('x-ratelimit-reset') ?? Number.NaN);
  if (header('x-ratelimit-remaining') === '0' && Number.isFinite(reset))
    return Math.max(1000, reset * 1000 - Date.now());
  return status === 429 ? 60_000 : undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // 204 has nothing, a proxy has a page
  }
}

function nextOf(link: string | undefined, url: URL): URL | undefined {
  const target = /<([^>]*)>\s*(?:;[^,<]*)?;\s*rel="?next"?/i.exec(link ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, url.href)) return undefined;
  return new URL(target, url);
}
