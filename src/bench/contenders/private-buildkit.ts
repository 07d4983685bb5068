import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BuildkitClient, connectBuildkit } from '../../buildkit/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { type Log, silentLog } from '../../telemetry/index.ts';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;
const MAX_LOG_CHARS = 20_000;

const CONFIG = `[worker.oci]
  snapshotter = "overlayfs"
  networkMode = "host"
  gc = false
[worker.containerd]
  enabled = false
`;

export interface PrivateBuildkit extends AsyncDisposable {
  readonly client: BuildkitClient;
  readonly pid: number;
  readonly address: string;
  readonly contentDir: string;
}

/**
 * A buildkitd of one run, with a root of its own: what another run compressed or unpacked is not there, and everything goes
 * with the folder. Needs root, as the daemon does. Throws BUILDKIT_UNAVAILABLE.
 */
export async function startPrivateBuildkit(
  program: string,
  { log = silentLog(), parentDir, signal }: Cancelable & { readonly parentDir: string; readonly log?: Log },
): Promise<PrivateBuildkit> {
  await mkdir(parentDir, { recursive: true });
  const root = await mkdtemp(join(parentDir, 'bk-')); // short: the socket's path has at most 107 bytes
  const config = join(root, 'buildkitd.toml');
  const address = `unix://${join(root, 's')}`;
  const contentDir = join(root, 'runc-overlayfs', 'content');
  await writeFile(config, CONFIG);
  const child = spawn(program, ['--config', config, '--root', root, '--addr', address], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: `${dirname(program)}:${process.env['PATH'] ?? ''}` },
    detached: true, // a Ctrl-C is ours to pass on
  });
  const closed = once(child, 'close');
  closed.catch(() => undefined); // a daemon that cannot be started is reported below
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-MAX_LOG_CHARS);
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const killing = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await closed.catch(() => undefined);
    clearTimeout(killing);
    await rm(root, { recursive: true, force: true });
  };
  try {
    const client = await connected(address, {
      contentDir,
      log,
      signal,
      alive: () => child.exitCode === null && child.pid !== undefined,
    });
    return {
      client,
      address,
      pid: child.pid ?? 0,
      contentDir,
      [Symbol.asyncDispose]: async () => {
        await client[Symbol.asyncDispose]();
        await stop();
      },
    };
  } catch (thrown) {
    await stop();
    signal.throwIfAborted();
    throw new WorkerError(
      'BUILDKIT_UNAVAILABLE',
      `${program} did not start: ${said.slice(-1000)}`,
      {},
      { cause: thrown },
    );
  }
}

async function connected(
  address: string,
  {
    alive,
    contentDir,
    log,
    signal,
  }: Cancelable & {
    readonly contentDir: string;
    readonly log: Log;
    readonly alive: () => boolean;
  },
): Promise<BuildkitClient> {
  const endMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await connectBuildkit({
        address,
        log,
        contentDir,
        signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]),
      });
    } catch (thrown) {
      signal.throwIfAborted();
      if (!alive() || performance.now() > endMs) throw thrown;
      await sleep(50, undefined, { signal });
    }
  }
}
