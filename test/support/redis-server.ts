import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { freePort } from '../../scripts/services/ports.ts';
import { installedProgram } from './server-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface RedisServer extends AsyncDisposable {
  readonly url: string;
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** A Redis of its own that can be killed and started again on its data; `args` come last. */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  const directory = await temporaryDirectory('redis');
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const all = `--bind 127.0.0.1 --port ${port} --appendonly yes --appendfsync always --dir ${directory.path}`.split(
    ' ',
  );
  let stop = () => Promise.resolve();
  const start = async () => {
    const child = spawn(installedProgram('redis-server'), [...all, ...args], { stdio: 'ignore' });
    const closed = once(child, 'close');
    stop = async () => {
      child.kill('SIGKILL');
      await closed;
    };
    // Retries until the server has read its data.
    const client = new Redis(url, { maxRetriesPerRequest: 200, retryStrategy: () => 25 });
    client.on('error', () => undefined);
    await client.ping();
    client.disconnect();
  };
  await start();
  return {
    url,
    start,
    kill: () => stop(),
    async [Symbol.asyncDispose]() {
      await stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}
