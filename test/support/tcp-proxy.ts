import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands before a server whatever it speaks, and breaks connections when it is told to. */
export class TcpProxy implements AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cutAfterBytes: readonly number[] = [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
  }

  static async start(target: string): Promise<TcpProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const proxy = new TcpProxy(server, address.port);
    server.on('connection', (socket) => {
      proxy.#serve(target, socket);
    });
    return proxy;
  }

  /** The first connection from now on breaks after so many bytes of the server, the next one after the second number, … */
  cutAfter(...bytes: readonly number[]): void {
    this.#cutAfterBytes = bytes;
    this.connections = 0;
  }

  /** Breaks all connections there are. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #serve(target: string, socket: Socket): void {
    const [host = '', port = ''] = target.split(':');
    const upstream = connect(Number(port), host);
    const limit = this.#cutAfterBytes[this.connections++] ?? Number.POSITIVE_INFINITY;
    let passed = 0;
    this.#sockets.add(socket);
    const end = () => {
      this.#sockets.delete(socket);
      socket.destroy();
      upstream.destroy();
    };
    for (const each of [socket, upstream]) each.on('error', end).on('close', end);
    socket.on('data', (chunk: Buffer) => upstream.write(chunk));
    upstream.on('data', (chunk: Buffer) => {
      const room = limit - passed;
      passed += chunk.length;
      if (chunk.length < room) socket.write(chunk);
      else socket.write(chunk.subarray(0, room), () => socket.resetAndDestroy());
    });
  }
}
