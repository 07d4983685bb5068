import type { Readable } from 'node:stream';
import type { Agent, buildConnector, Dispatcher } from 'undici';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Trust, trusting, untrustedError } from '../tls/index.ts';
import { wireFailure } from './failures.ts';
import type { RegistryLimits } from './limits.ts';

/** Bytes of a request: opened anew for every try. */
export interface WireBody {
  readonly sizeBytes: number;
  open(): AsyncIterable<Uint8Array> | Uint8Array;
}

export interface WireRequest extends Cancelable {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: WireBody | undefined;
}

export interface WireResponse {
  readonly status: number;
  readonly url: URL;
  header(name: string): string | undefined;
  /** Of a header that may come more than once, as it came. */
  values(name: string): readonly string[];
  /** Must be read or discarded. */
  readonly body: Readable;
  /** The whole body when it is small. Throws LIMIT_EXCEEDED. */
  bytes(maxBytes: number): Promise<Buffer>;
  /** Reads a small rest, so that the connection can be used again; drops the connection otherwise. */
  discard(): Promise<void>;
}

/** One HTTP exchange at a time: connection pool, timeouts, log line; no redirects, no logins, no retries. */
export interface Wire extends AsyncDisposable {
  exchange(wanted: WireRequest): Promise<WireResponse>;
}

const DISCARD_BYTES = 64 * 1024;

/** What a request is called in logs and errors. Never the query: it may carry an upload's state or a signature. */
export function nameOf(method: string, url: URL): string {
  return `${method} ${url.host}${url.pathname}`;
}

/** The members of a list header, whether it came once or several times (RFC 9110, 5.6.1). */
export function listed(values: readonly string[]): readonly string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((member) => member.trim())
    .filter((member) => member !== '');
}

export function createWire({
  limits,
  log,
  trust,
}: {
  readonly limits: RegistryLimits;
  readonly log: Log;
  readonly trust: Trust;
}): Wire {
  const options: Agent.Options = {
    headersTimeout: limits.stallTimeoutMs,
    bodyTimeout: limits.stallTimeoutMs,
    connections: limits.connectionsPerHost,
  };
  // One blob, one connection: HTTP/2 would put them all on one, behind one flow window.
  const connecting = { timeout: limits.connectTimeoutMs, allowH2: false };
  // Loaded with the first request: a command that finds everything here speaks to nobody.
  let http: Promise<{ readonly request: typeof import('undici').request; readonly agent: Agent }> | undefined;
  const load = async () => {
    const { Agent, buildConnector, request } = await import('undici');
    const plain = buildConnector(connecting);
    let secure: buildConnector.connector | undefined;
    const connect: buildConnector.connector = (to, callback) => {
      if (to.protocol !== 'https:') {
        plain(to, callback);
        return;
      }
      secure ??= buildConnector({ ...connecting, secureContext: trusting(trust) });
      secure(to, callback);
    };
    return { request, agent: new Agent({ ...options, connect }) };
  };
  return {
    async exchange({ method, url, headers, body, signal }) {
      const doing = nameOf(method, url);
      const startedMs = performance.now();
      try {
        http ??= load();
        const { agent, request } = await http;
        const response = await request(url, {
          dispatcher: agent,
          method,
          headers: {
            'user-agent': 'clipyard',
            'accept-encoding': 'identity',
            ...headers,
            ...(body === undefined ? {} : { 'content-length': String(body.sizeBytes) }),
          },
          body: (body?.open() ?? null) as Readable | Uint8Array | null, // undici takes any async iterable; its types do not say so
          signal,
        });
        log.debug(
          {
            method,
            host: url.host,
            path: url.pathname,
            status: response.statusCode,
            durationMs: Math.round(performance.now() - startedMs),
          },
          'registry request',
        );
        return wireResponse(doing, url, response, signal);
      } catch (thrown) {
        throw untrustedError(thrown, doing, url.host) ?? failureOf(thrown, doing, signal);
      }
    },
    async [Symbol.asyncDispose]() {
      await (await http)?.agent.destroy();
    },
  };
}

/** A deadline is ours to report; any other abort is the caller's, rethrown as it is. */
function failureOf(thrown: unknown, doing: string, signal: AbortSignal): unknown {
  if (!signal.aborted) return wireFailure(thrown, doing);
  const reason: unknown = signal.reason;
  return reason instanceof Error && reason.name === 'TimeoutError' ? wireFailure(reason, doing) : reason;
}

function wireResponse(
  doing: string,
  url: URL,
  { statusCode, headers, body }: Dispatcher.ResponseData,
  signal: AbortSignal,
): WireResponse {
  return {
    status: statusCode,
    url,
    body,
    header: (name) => {
      const value = headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    values: (name) => [headers[name] ?? []].flat(),
    async bytes(maxBytes) {
      const parts: Uint8Array[] = [];
      let sizeBytes = 0;
      try {
        for await (const part of body as AsyncIterable<Uint8Array>) {
          sizeBytes += part.length;
          if (sizeBytes > maxBytes)
            throw new WorkerError('LIMIT_EXCEEDED', `${doing}: an answer of more than ${maxBytes} bytes`);
          parts.push(part);
        }
      } catch (thrown) {
        throw failureOf(thrown, doing, signal);
      }
      return Buffer.concat(parts);
    },
    async discard() {
      await body.dump({ limit: DISCARD_BYTES, signal }).catch(() => undefined);
    },
  };
}
