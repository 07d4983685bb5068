import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import type { Certificate } from './certificates.ts';

/** TLS on a port of its own in front of a server that speaks plain http. */
export interface TlsProxy extends AsyncDisposable {
  readonly port: number;
  /** TCP connections so far, those whose client did not like the certificate included. */
  readonly connections: number;
}

/** `target` is the real server's `host:port`. */
export async function startTlsProxy(target: string, certificate: Certificate): Promise<TlsProxy> {
  const { hostname, port: targetPort } = new URL(`http://${target}`);
  const open = new Set<{ destroy(): unknown }>();
  const server = createServer(certificate, (client) => {
    const upstream = connect(Number(targetPort), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  server.on('tlsClientError', () => undefined);
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    connections++;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
