import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { buffer } from 'node:stream/consumers';

/** What the server was asked for when the process was killed. */
export interface LastRequest {
  readonly number: number;
  readonly method: string;
  readonly path: string;
}

/**
 * Stands before several servers, counts all their requests together, and kills when one of a number has been served: the server did
 * it, nobody heard its answer. What is sent after that reaches no server.
 */
export class KillFront implements AsyncDisposable {
  /** `127.0.0.1:port`, in the order of the targets. */
  readonly addresses: readonly string[];
  /** Requests since it was armed last. */
  seen = 0;
  readonly #servers: readonly Server[];
  #armed: { readonly at: number; readonly kill: (last: LastRequest) => Promise<void> } | undefined;

  private constructor(servers: readonly Server[], targets: readonly string[]) {
    this.#servers = servers;
    this.addresses = servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      return `127.0.0.1:${address.port}`;
    });
    for (const [at, server] of servers.entries())
      server.on('request', (request: IncomingMessage, response: ServerResponse) => {
        void this.#serve(targets[at] ?? '', request, response);
      });
  }

  /** `targets` are `host:port`. */
  static async start(targets: readonly string[]): Promise<KillFront> {
    const servers = targets.map(() => createServer().listen(0, '127.0.0.1'));
    await Promise.all(servers.map((server) => once(server, 'listening')));
    return new KillFront(servers, targets);
  }

  /** Counts from nothing again; `kill` is called once, behind request number `at`, and resolves when the process is gone. */
  arm(at: number, kill: (last: LastRequest) => Promise<void>): void {
    this.seen = 0;
    this.#armed = { at, kill };
  }

  /** From now on everything passes, and is counted. */
  disarm(): void {
    this.seen = 0;
    this.#armed = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }

  async #serve(target: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request; // the request forgets it when it is destroyed
    const number = ++this.seen;
    const armed = this.#armed;
    try {
      if (armed !== undefined && number > armed.at) return; // waits for an answer until it is dead
      const { body, headers, status } = await forward(target, request);
      // Taken up before the kill: as if the answer had come too late.
      if (this.#armed !== armed) return;
      if (number === armed?.at) {
        await armed.kill({ number, method: request.method ?? '', path: request.url ?? '' });
        return;
      }
      response.writeHead(status, headers);
      response.end(body);
    } catch {
      socket.destroy();
    }
  }
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Bodies are whole in memory: what is killed here moves little. */
async function forward(target: string, request: IncomingMessage): Promise<Answer> {
  const { headers, method, url: path } = request;
  const { hostname, port } = new URL(`http://${target}`);
  const upstream = httpRequest({ hostname, port, method, path, headers, agent: false });
  upstream.end(await buffer(request));
  const [answer] = (await once(upstream, 'response')) as [IncomingMessage];
  return { status: answer.statusCode ?? 502, headers: answer.headers, body: await buffer(answer) };
}
