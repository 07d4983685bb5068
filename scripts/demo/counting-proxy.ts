import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  status: number;
  bytes: number;
}

export interface CountingProxy extends AsyncDisposable {
  /** `host:port` on another loopback address than the server behind it. */
  readonly address: string;
  readonly requests: readonly SeenRequest[];
}

/** A plain HTTP forwarder that writes down what passes: the demo's request log, and its "other machine". */
export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const requests: SeenRequest[] = [];
  const [host, port] = target.split(':');
  const server = createServer((incoming, outgoing) => {
    const seen: SeenRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      range: incoming.headers.range,
      status: 0,
      bytes: 0,
    };
    requests.push(seen);
    const { method, url: path, headers } = incoming;
    const forward = request({ host, port, method, path, headers }, (answer) => {
      seen.status = answer.statusCode ?? 0;
      outgoing.writeHead(seen.status, answer.headers);
      answer.on('data', (chunk: Buffer) => (seen.bytes += chunk.length));
      pipeline(answer, outgoing).catch(() => outgoing.destroy());
    });
    forward.on('error', () => outgoing.destroy());
    pipeline(incoming, forward).catch(() => forward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
  return {
    address: `127.0.0.2:${(server.address() as AddressInfo).port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
