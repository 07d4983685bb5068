import { join } from 'node:path';
import { type RunningCommand, startCommand } from './command-line.ts';
import { serviceSetting } from './services.ts';

export interface ClipyardWorker extends AsyncDisposable {
  readonly command: RunningCommand;
  /** As `CLIPYARD_SERVER` takes it. */
  readonly address: string;
}

export interface ClipyardWorkerOptions {
  readonly queue: string;
  /** The worker's own; builds land there. */
  readonly stateDir: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** `clipyard worker` as it is installed, on a free port, ready when this returns; killed when it is disposed. */
export async function startClipyardWorker(options: ClipyardWorkerOptions): Promise<ClipyardWorker> {
  const { args = [], env = {}, queue, stateDir } = options;
  const command = startCommand(['--json', 'worker', '--listen', '127.0.0.1:0', '--queue', queue, ...args], {
    CLIPYARD_STATE: stateDir,
    CLIPYARD_BUILDKIT: serviceSetting('CLIPYARD_BUILDKIT'),
    CLIPYARD_BUILDKIT_CONTENT: serviceSetting('CLIPYARD_BUILDKIT_CONTENT'),
    CLIPYARD_REGISTRY: serviceSetting('CLIPYARD_REGISTRY'),
    CLIPYARD_LOG: 'info',
    ...env,
  });
  const line = await command.sawLine(/"msg":"listening"/);
  await command.sawLine(/"reason":"ready","msg":"intake"/);
  const { address } = JSON.parse(line) as { address: string };
  return {
    command,
    address,
    [Symbol.asyncDispose]: async () => {
      command.child.kill('SIGKILL');
      await command.result;
    },
  };
}

/** A queue file of its own in a directory. */
export const sqlitePlace = (directory: string): AsyncDisposable & { readonly address: string } => ({
  address: `sqlite:${join(directory, 'queue.db')}`,
  [Symbol.asyncDispose]: () => Promise.resolve(),
});
