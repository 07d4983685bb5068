import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands before a unix socket and can cut what runs through it. */
export class SocketProxy implements AsyncDisposable {
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Bytes from the target after which each of the next connections is cut. */
  readonly #cuts: number[] = [];

  private constructor(server: Server, address: string) {
    this.#server = server;
    this.address = address;
  }

  /** `target` and the result's `address` are `unix:///path`. */
  static async start(path: string, target: string): Promise<SocketProxy> {
    const server = createServer();
    const proxy = new SocketProxy(server, `unix://${path}`);
    server.on('connection', (client) => {
      proxy.#join(client, connect(target.replace(/^unix:\/\//, '')));
    });
    server.listen(path);
    await once(server, 'listening');
    return proxy;
  }

  /** Cuts the next connection once it carried so many bytes from the target. */
  cutNextAfter(bytes: number): void {
    this.#cuts.push(bytes);
  }

  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cutAll();
    await once(this.#server, 'close');
  }

  #join(client: Socket, target: Socket): void {
    const cutAfter = this.#cuts.shift();
    let carried = 0;
    target.on('data', (chunk: Buffer) => {
      carried += chunk.length;
      if (cutAfter !== undefined && carried > cutAfter) client.destroy();
    });
    client.pipe(target);
    target.pipe(client);
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
