import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { duplexPair } from 'node:stream';
import { frameHead, readFrames } from '../../../src/buildkit/session/rpc-frames.ts';
import { closeRpc, type RpcHandler, serveRpc } from '../../../src/buildkit/session/rpc-server.ts';

export interface Answer {
  readonly status: string;
  readonly message: string | undefined;
  readonly messages: readonly Buffer[];
}

/** The daemon's side of a session, over a pipe inside the process. */
export class TestDaemon implements Disposable {
  readonly client: ClientHttp2Session;
  readonly failures: unknown[] = [];
  readonly #server: ReturnType<typeof serveRpc>;

  constructor(handlers: ReadonlyMap<string, RpcHandler>) {
    const [ours, theirs] = duplexPair();
    this.#server = serveRpc(ours, { handlers, onFailure: (failure) => this.failures.push(failure) });
    this.client = connect('http://localhost', { createConnection: () => theirs });
    this.client.on('error', () => undefined);
  }

  [Symbol.dispose](): void {
    this.client.destroy();
    closeRpc(this.#server);
  }

  open(path: string, headers: OutgoingHttpHeaders = {}): TestCall {
    return new TestCall(this.client, path, headers);
  }

  /** Sends the messages, closes, and gives everything that comes back. */
  async call(path: string, headers: OutgoingHttpHeaders = {}, messages: readonly Uint8Array[] = []): Promise<Answer> {
    const call = this.open(path, headers);
    for (const message of messages) call.send(message);
    call.end();
    return await call.finish();
  }
}

export class TestCall {
  readonly stream: ReturnType<ClientHttp2Session['request']>;
  readonly #trailers = new Map<string, string>();
  readonly #messages: AsyncGenerator<Buffer>;

  constructor(client: ClientHttp2Session, path: string, headers: OutgoingHttpHeaders) {
    this.stream = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...headers });
    const keep = (received: IncomingHttpHeaders) => {
      for (const name of ['grpc-status', 'grpc-message']) {
        const value = received[name];
        if (typeof value === 'string') this.#trailers.set(name, value);
      }
    };
    this.stream.on('response', keep);
    this.stream.on('trailers', keep);
    this.stream.on('error', () => undefined);
    this.#messages = readFrames(this.stream as AsyncIterable<Buffer>, 1 << 24);
  }

  send(message: Uint8Array): void {
    this.stream.write(Buffer.concat([frameHead(message.length), message]));
  }

  end(): void {
    this.stream.end();
  }

  async next(): Promise<Buffer | undefined> {
    const next: IteratorResult<Buffer, unknown> = await this.#messages.next();
    return next.done === true ? undefined : next.value;
  }

  /** Everything that is left, and how it ended. */
  async finish(): Promise<Answer> {
    const messages: Buffer[] = [];
    for (let message = await this.next(); message !== undefined; message = await this.next()) messages.push(message);
    return {
      messages,
      status: this.#trailers.get('grpc-status') ?? 'none',
      message: this.#trailers.get('grpc-message'),
    };
  }
}
