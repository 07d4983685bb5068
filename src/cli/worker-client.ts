import { readFileSync } from 'node:fs';
import { WorkerError } from '../errors/index.ts';
import type { WorkerClient } from '../service/index.ts';
import type { CommandContext } from './context.ts';
import { trustOf } from './services.ts';

export interface ClientFlags {
  readonly server?: string;
  readonly workspace?: string;
  readonly caFile?: string;
}

/** The worker a command talks to, and the workspace it speaks for: empty where the token or the worker decides. */
export interface WorkerCalls {
  readonly client: WorkerClient;
  readonly workspaceId: string;
}

/** gRPC is loaded here and not with the command line. Throws CONFIG_INVALID, USAGE. */
export async function workerCalls(flags: ClientFlags, context: CommandContext): Promise<WorkerCalls & Disposable> {
  const { env, settings } = context;
  const { connectWorker, OWN_WORKSPACE } = await import('../service/index.ts');
  const client = connectWorker({
    server: flags.server ?? settings.server,
    token: env['CLIPYARD_TOKEN'] || undefined,
    trust: { ...trustOf(context, flags.caFile), identity: identityOf(settings) },
    random: Math.random,
  });
  const workspaceId = flags.workspace ?? (env['CLIPYARD_WORKSPACE'] || OWN_WORKSPACE);
  return {
    client,
    workspaceId,
    [Symbol.dispose]: () => {
      client[Symbol.dispose]();
    },
  };
}

function identityOf({ clientCert, clientKey }: CommandContext['settings']) {
  if (clientCert === undefined && clientKey === undefined) return undefined;
  if (clientCert === undefined || clientKey === undefined)
    throw new WorkerError('CONFIG_INVALID', 'CLIPYARD_CLIENT_CERT and CLIPYARD_CLIENT_KEY belong together');
  return { cert: pem(clientCert), key: pem(clientKey) };
}

function pem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new WorkerError('CONFIG_INVALID', `client certificate or key ${path} cannot be read`, { path }, { cause });
  }
}
