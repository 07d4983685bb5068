import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildQueue, openSqliteQueue } from '../../../src/queue/index.ts';
import { connectWorker, type ServeOptions, serve, type WorkerClient } from '../../../src/service/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { emptyWorker, oneArchive, queueBuilds } from './queue-builds.ts';

export interface TestServer extends AsyncDisposable {
  readonly address: string;
  readonly queue: BuildQueue;
  readonly directory: string;
  setReady(ready: boolean): void;
  /** Stops the server alone; the queue stays. */
  stop(): Promise<void>;
  client(token?: string, server?: string): WorkerClient;
}

/** The service on a free loopback port, over a real queue in a file of its own. */
export async function startService(
  given: Partial<ServeOptions> & { readonly tokens?: readonly object[]; readonly leaseMs?: number } = {},
): Promise<TestServer> {
  const directory = await temporaryDirectory('service');
  const { leaseMs = 30_000, tokens, ...options } = given;
  const tokensFile = join(directory.path, 'tokens.json');
  if (tokens !== undefined) await writeFile(tokensFile, JSON.stringify(tokens));
  const queue = openSqliteQueue(join(directory.path, 'queue.db'), {
    leaseMs,
    maxAttempts: 3,
    weights: new Map(),
    maxRunningPerWorkspace: 100,
    warmWaitMs: 0,
    now: Date.now,
  });
  const server = await serve({
    listen: '127.0.0.1:0',
    defaultWorkspace: 'default',
    builds: queueBuilds(queue),
    archives: oneArchive,
    control: emptyWorker(queue),
    log: silentLog(),
    graceMs: 200,
    ...(tokens !== undefined && { tokensFile }),
    ...options,
  });
  return {
    address: server.address,
    queue,
    directory: directory.path,
    setReady: (ready) => {
      server.setReady(ready);
    },
    stop: async () => {
      await server[Symbol.asyncDispose]();
    },
    client: (token, address = server.address) =>
      connectWorker({ server: address, token, trust: {}, random: Math.random, patienceMs: 20_000 }),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await queue[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** A line of a tokens file. */
export function grant(token: string, workspace: string, more: object = {}): object {
  return { sha256: createHash('sha256').update(token).digest('hex'), workspace, name: `test ${workspace}`, ...more };
}
