import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, WorkerError } from '../../errors/index.ts';
import type { Link } from './link.ts';
import { TokenBucket } from './token-bucket.ts';

/** What a network card takes at once: small against every bandwidth, large against the cost of a timer. */
const BURST_BYTES = 64 * 1024;
const SLICE_BYTES = 16 * 1024;
/** On their way in one direction of one connection; more and the sender waits. */
const IN_FLIGHT_BYTES = 4 * 1024 * 1024;
/** A round trip is what a timer resolves; sleeping for less costs more than it shapes. */
const LEAST_SLEEP_MS = 1;

export interface Traffic {
  /** From the clients to the server, and back. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

interface Direction {
  readonly bucket: TokenBucket | undefined;
  bytes: number;
}

/**
 * A TCP forwarder on loopback in front of a server: counts the bytes each way, and with a link carries them no faster and no
 * sooner than it. All connections share the bandwidth; a new connection costs one round trip, as a handshake does.
 */
export class ShapingProxy implements AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #delayMs: number;

  private constructor(server: Server, port: number, link: Link | undefined) {
    const bucket = () =>
      link === undefined
        ? undefined
        : new TokenBucket({ bytesPerSecond: link.bytesPerSecond, burstBytes: BURST_BYTES });
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
    this.#up = { bucket: bucket(), bytes: 0 };
    this.#down = { bucket: bucket(), bytes: 0 };
    this.#delayMs = (link?.roundTripMs ?? 0) / 2;
  }

  /** `target` is the server's `host:port`. */
  static async start(target: string, link?: Link): Promise<ShapingProxy> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new WorkerError('INTERNAL', 'the proxy has no port');
    const proxy = new ShapingProxy(server, address.port, link);
    const { hostname, port } = new URL(`http://${target}`);
    server.on('connection', (client: Socket) => {
      proxy.#serve(client, connect({ host: hostname, port: Number(port || 80), allowHalfOpen: true }));
    });
    return proxy;
  }

  traffic(): Traffic {
    return { sentBytes: this.#up.bytes, receivedBytes: this.#down.bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(client: Socket, server: Socket): void {
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined); // close follows, and takes the other end along
      socket.on('close', (broke) => {
        this.#sockets.delete(socket);
        if (!broke) return; // bytes of it may still be under way to the other end
        client.destroy();
        server.destroy();
      });
    }
    const broken = (thrown: unknown) => {
      client.destroy(thrown instanceof Error ? thrown : new Error(messageOf(thrown)));
      server.destroy();
    };
    this.#carry(client, server, this.#up, 3 * this.#delayMs).catch(broken);
    this.#carry(server, client, this.#down, this.#delayMs).catch(broken);
  }

  /** The first bytes of a connection wait `firstDelayMs`: the handshake that loopback does not charge for. */
  async #carry(from: Socket, to: Socket, direction: Direction, firstDelayMs: number): Promise<void> {
    const { bucket } = direction;
    let delayMs = firstDelayMs;
    let inFlight = 0;
    let arrival = Promise.resolve();
    // The other half of the connection goes on when this one has ended.
    for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
        const slice = chunk.subarray(at, at + SLICE_BYTES);
        direction.bytes += slice.length;
        if (bucket === undefined) {
          await written(to, slice);
          continue;
        }
        const sentMs = bucket.reserve(slice.length, performance.now());
        const dueMs = sentMs + delayMs;
        inFlight += slice.length;
        arrival = arrival.then(async () => {
          await until(dueMs);
          await written(to, slice);
          inFlight -= slice.length;
        });
        arrival.catch(() => undefined); // awaited at the end of the stream
        await until(sentMs);
        if (inFlight > IN_FLIGHT_BYTES) await arrival;
      }
      delayMs = this.#delayMs;
    }
    await arrival;
    to.end();
  }
}

async function until(timeMs: number): Promise<void> {
  const leftMs = timeMs - performance.now();
  if (leftMs >= LEAST_SLEEP_MS) await sleep(leftMs);
}

/** Waits where the receiver is slower than the sender; ends when the connection does. */
async function written(to: Socket, bytes: Buffer): Promise<void> {
  if (to.destroyed) throw new WorkerError('IO_FAILED', 'the connection is closed');
  if (to.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      to.off('drain', done).off('close', done);
      resolve();
    };
    to.on('drain', done).on('close', done);
  });
}
