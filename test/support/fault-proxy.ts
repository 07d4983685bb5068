import { once } from 'node:events';
import {
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault, FaultMatch, LoggedRequest } from './fault.ts';

interface Injection {
  readonly match: FaultMatch;
  readonly fault: Fault;
  timesLeft: number;
}

class Cut extends Error {}

/** Stands before a real server on loopback: writes down every request and does harm where it is told to. */
export class FaultProxy implements AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly requests: LoggedRequest[] = [];
  readonly #server: Server;
  readonly #injections: Injection[] = [];
  readonly #closing = new AbortController();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
  }

  /** `target` is the real server's `host:port`. */
  static async start(target: string): Promise<FaultProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const proxy = new FaultProxy(server, address.port);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void proxy.#serve(target, request, response);
    });
    return proxy;
  }

  /** Harms the next `times` requests that match; the fault that was injected first comes first. */
  inject(match: FaultMatch, fault: Fault, { times = 1 }: { readonly times?: number } = {}): void {
    this.#injections.push({ match, fault, timesLeft: times });
  }

  /** The requests since the last call. */
  takeRequests(): readonly LoggedRequest[] {
    return this.requests.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(target: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request; // the request forgets it when it is destroyed
    const url = new URL(request.url ?? '/', 'http://proxy');
    const fault = this.#take(request.method ?? '', url.pathname);
    const entry: LoggedRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.search,
      range: request.headers.range,
      headers: request.headers,
      requestBytes: 0,
      responseBytes: 0,
      status: undefined,
      fault: fault?.kind,
    };
    this.requests.push(entry);
    try {
      if (fault?.kind === 'delay') await sleep(fault.delayMs, undefined, { signal: this.#closing.signal });
      if (fault?.kind === 'meanwhile') await fault.first();
      if (fault?.kind === 'answer') await this.#answer(request, response, entry, fault);
      else await this.#forward(target, request, response, entry, fault);
    } catch {
      // Cut on purpose, or the client or the server went away: the client sees a broken connection.
      socket.destroy();
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    entry: LoggedRequest,
    { status, headers = {}, body = '' }: Extract<Fault, { kind: 'answer' }>,
  ): Promise<void> {
    for await (const chunk of request as AsyncIterable<Buffer>) entry.requestBytes += chunk.length;
    entry.status = status;
    entry.responseBytes = Buffer.byteLength(body);
    response.writeHead(status, { 'content-length': String(entry.responseBytes), ...(headers as OutgoingHttpHeaders) });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #forward(
    target: string,
    request: IncomingMessage,
    response: ServerResponse,
    entry: LoggedRequest,
    fault: Fault | undefined,
  ): Promise<void> {
    const { hostname, port } = new URL(`http://${target}`);
    const upstream: ClientRequest = httpRequest({
      hostname,
      port,
      method: request.method,
      path: request.url,
      headers: request.headers,
      agent: false,
    });
    try {
      // The two race on purpose: a server may answer before it has read the whole request.
      const answered = once(upstream, 'response') as Promise<[IncomingMessage]>;
      const sent = pipeline(request, this.#requestBytes(entry, fault), upstream);
      sent.catch(() => undefined);
      const [answer] = await Promise.race([answered, sent.then(() => answered)]);
      if (fault?.kind === 'loseAnswer') throw new Cut();
      if (fault?.kind === 'stall') await this.#forever();
      entry.status = answer.statusCode;
      const headers = { ...answer.headers };
      if (fault?.kind === 'shortenResponse') headers['content-length'] = String(fault.toBytes);
      response.writeHead(answer.statusCode ?? 502, headers);
      response.flushHeaders();
      await pipeline(answer, this.#responseBytes(entry, fault), response);
    } finally {
      upstream.destroy();
    }
  }

  #requestBytes(
    entry: LoggedRequest,
    fault: Fault | undefined,
  ): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
    const forever = () => this.#forever();
    return async function* counted(source) {
      for await (const chunk of source) {
        const before = entry.requestBytes;
        entry.requestBytes += chunk.length;
        const limit = fault?.kind === 'cutRequest' || fault?.kind === 'stallRequest' ? fault.afterBytes : undefined;
        if (limit === undefined || entry.requestBytes < limit) {
          yield chunk;
          continue;
        }
        yield chunk.subarray(0, limit - before);
        if (fault?.kind === 'stallRequest') await forever();
        // What was handed on must have left before the connection breaks.
        await sleep(100);
        throw new Cut();
      }
    };
  }

  #responseBytes(
    entry: LoggedRequest,
    fault: Fault | undefined,
  ): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
    const forever = () => this.#forever();
    return async function* counted(source) {
      for await (const chunk of source) {
        const before = entry.responseBytes;
        entry.responseBytes += chunk.length;
        const limit = responseLimit(fault);
        if (fault?.kind === 'corruptResponse' && before <= fault.atByte && fault.atByte < entry.responseBytes) {
          const damaged = Buffer.from(chunk);
          damaged.writeUInt8(damaged.readUInt8(fault.atByte - before) ^ 1, fault.atByte - before);
          yield damaged;
          continue;
        }
        if (limit === undefined || entry.responseBytes < limit) {
          yield chunk;
          continue;
        }
        entry.responseBytes = limit;
        yield chunk.subarray(0, limit - before);
        if (fault?.kind === 'shortenResponse') return;
        if (fault?.kind === 'stallResponse') await forever();
        await sleep(100);
        throw new Cut();
      }
    };
  }

  async #forever(): Promise<never> {
    await once(this.#closing.signal, 'abort');
    throw new Cut();
  }

  #take(method: string, path: string): Fault | undefined {
    const injection = this.#injections.find(
      ({ match, timesLeft }) =>
        timesLeft > 0 && (match.method ?? method) === method && (match.path?.test(path) ?? true),
    );
    if (injection === undefined) return undefined;
    injection.timesLeft--;
    return injection.fault;
  }
}

function responseLimit(fault: Fault | undefined): number | undefined {
  if (fault?.kind === 'cutResponse' || fault?.kind === 'stallResponse') return fault.afterBytes;
  return fault?.kind === 'shortenResponse' ? fault.toBytes : undefined;
}
