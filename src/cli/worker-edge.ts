import { readFile } from 'node:fs/promises';
import { systemCodeOf, WorkerError } from '../errors/index.ts';
import { type RunningServer, type ServeOptions, type ServerTls, serve } from '../service/index.ts';
import type { WorkerConfig, WorkerMetrics } from '../worker/index.ts';

/** What an API is put before. */
export interface EdgeParts
  extends Pick<ServeOptions, 'listen' | 'defaultWorkspace' | 'builds' | 'archives' | 'control' | 'log'> {
  /** With certificates and the file of tokens. */
  readonly config: WorkerConfig;
  readonly metrics: WorkerMetrics;
}

/** The API of a worker, not ready yet. Throws CONFIG_INVALID. */
export async function openEdge({ config, metrics, ...parts }: EdgeParts): Promise<RunningServer> {
  const { tls, tokensFile } = config;
  const server = await serve({
    ...parts,
    ...(tls !== undefined && { tls: await readTls(tls) }),
    ...(tokensFile !== undefined && { tokensFile }),
    observe: ({ code, durationMs, method }) => {
      metrics.callEnded(method, code, durationMs / 1000);
    },
  });
  server.setReady(false);
  return server;
}

async function readTls({ cert, clientCa, key }: NonNullable<WorkerConfig['tls']>): Promise<ServerTls> {
  return {
    cert: await readPem(cert),
    key: await readPem(key),
    ...(clientCa !== undefined && { clientCa: await readPem(clientCa) }),
  };
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new WorkerError(
      'CONFIG_INVALID',
      `${path}, which the worker's \`tls\` names, cannot be read: ${systemCodeOf(cause) ?? 'unknown'}`,
      { path },
      { cause },
    );
  }
}
