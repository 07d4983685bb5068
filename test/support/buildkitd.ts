import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectBuildkit } from '../../src/buildkit/index.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { installedProgram } from './server-process.ts';
import { serviceSetting } from './services.ts';

const START_TIMEOUT_MS = 30_000;

export interface RunningBuildkit extends AsyncDisposable {
  /** The settings of a command that builds with it. */
  readonly env: Readonly<Record<string, string>>;
}

/** A daemon that remembers nothing: as if the local one had been pruned, or as on another machine. */
export async function startBuildkit({
  plainHttp = [],
}: {
  readonly plainHttp?: readonly string[];
} = {}): Promise<RunningBuildkit> {
  const parent = join(serviceSetting('CLIPYARD_STATE'), 'tmp');
  await mkdir(parent, { recursive: true });
  const root = await mkdtemp(join(parent, 'buildkitd-'));
  const config = join(root, 'buildkitd.toml');
  const address = `unix://${join(root, 'sock')}`;
  const registries = plainHttp.map((host) => `[registry."${host}"]\n  http = true\n`).join('');
  const worker =
    '[worker.oci]\n  snapshotter = "overlayfs"\n  networkMode = "host"\n[worker.containerd]\n  enabled = false\n';
  await writeFile(config, registries + worker);
  const program = installedProgram('buildkitd');
  const child = spawn(program, ['--config', config, '--root', root, '--addr', address], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: `${dirname(program)}:${process.env['PATH'] ?? ''}` },
  });
  const closed = once(child, 'close');
  const errors = text(child.stderr);
  const stop = async () => {
    child.kill();
    await closed;
    await rm(root, { recursive: true, force: true });
  };
  const end = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(address))) {
    if (child.exitCode === null && Date.now() < end) {
      await sleep(50);
      continue;
    }
    await stop();
    throw new Error(`buildkitd did not start: ${(await errors).slice(-2000)}`);
  }
  const env = {
    CLIPYARD_BUILDKIT: address,
    CLIPYARD_BUILDKIT_CONTENT: join(root, 'runc-overlayfs', 'content'),
  };
  return { env, [Symbol.asyncDispose]: stop };
}

async function answers(address: string): Promise<boolean> {
  try {
    await using _client = await connectBuildkit({ address, log: silentLog(), signal: AbortSignal.timeout(2000) });
    return true;
  } catch {
    return false;
  }
}
