import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { messageOf, WorkerError } from '../../errors/index.ts';
import type { WorkerStatus } from '../../queue/index.ts';
import type { WorkerMetrics } from './worker-metrics.ts';

export interface MetricsServer extends AsyncDisposable {
  /** `host:port` */
  readonly address: string;
}

const HOST_AND_PORT = /^(?<host>\[[0-9a-f:]+\]|[^:[\]]+):(?<port>\d{1,5})$/i;

/**
 * `/metrics` for Prometheus; `/healthz`: the process answers; `/readyz`: 503 with the reason while it takes no builds. Nothing
 * here needs a login: give it an address that only the operator reaches. Throws CONFIG_INVALID.
 */
export async function serveMetrics(
  address: string,
  { metrics, status }: { readonly metrics: WorkerMetrics; readonly status: () => WorkerStatus },
): Promise<MetricsServer> {
  const { host = '', port = '' } = HOST_AND_PORT.exec(address)?.groups ?? {};
  if (host === '' || Number(port) > 65_535)
    throw new WorkerError('CONFIG_INVALID', `metrics address ${JSON.stringify(address)} is not host:port`);
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, 'only GET\n');
    else if (path === '/healthz') answer(response, 200, 'ok\n');
    else if (path === '/readyz') {
      const { reason } = status();
      answer(response, reason === undefined ? 200 : 503, `${reason ?? 'ready'}\n`);
    } else if (path === '/metrics') void answerMetrics(response, metrics);
    else answer(response, 404, 'there is /metrics, /healthz and /readyz\n');
  });
  server.listen(Number(port), host.replace(/^\[|\]$/g, ''));
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new WorkerError('CONFIG_INVALID', `metrics at ${address}: ${messageOf(cause)}`, {}, { cause });
  }
  const bound = server.address();
  return {
    address: bound === null || typeof bound === 'string' ? address : `${host}:${bound.port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answerMetrics(response: ServerResponse, metrics: WorkerMetrics): Promise<void> {
  try {
    const { body, contentType } = await metrics.text();
    answer(response, 200, body, contentType);
  } catch (thrown) {
    answer(response, 500, `${messageOf(thrown)}\n`);
  }
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': contentType }).end(body);
}
