import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, messageOf, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { mountOverlay, unmountOverlay } from './overlay.ts';
import { runtimeSpec } from './runtime-spec.ts';
import { resolveUser } from './user.ts';

/** Between SIGTERM and SIGKILL, as long as a person waits before pressing Ctrl-C again. */
const STOP_GRACE_MS = 5000;

/** Programs with runc's command line. */
export type ContainerRuntime = 'runc' | 'crun';

/** What the image configuration says about starting it. */
export interface ImageDefaults {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

export interface ContainerCommand {
  readonly runtime: ContainerRuntime;
  /** The read-only image mount. */
  readonly lower: string;
  /** Directory for bundle and overlay; on a real filesystem, private to this run. */
  readonly workDir: string;
  /** Where changes go; absent: thrown away with `workDir`. */
  readonly writable?: string;
  readonly image: ImageDefaults;
  /** Replaces entrypoint and cmd when not empty. */
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly containerId: string;
  readonly terminal: boolean;
}

/**
 * Runs a command with an OCI runtime in an overlay over the image mount and gives its exit code. Overlay and bundle are gone when
 * it returns. Throws RUN_FAILED when the runtime cannot start it.
 */
export async function runContainer(command: ContainerCommand, { signal }: Cancelable): Promise<number> {
  const { containerId, image, lower, workDir } = command;
  const rootfs = join(workDir, 'rootfs');
  await makeDirectory(rootfs);
  const args = command.args.length > 0 ? command.args : [...image.entrypoint, ...image.cmd];
  if (args.length === 0) throw new WorkerError('USAGE', 'the image names no command: give one after --');
  const user = await resolveUser(image.user, lower);
  const spec = runtimeSpec({
    args,
    env: [...image.env, ...command.env],
    cwd: image.workingDir || '/',
    user,
    terminal: command.terminal,
    hostname: containerId,
  });
  await writeFile(join(workDir, 'config.json'), JSON.stringify(spec));
  await mountOverlay({ lower, writable: command.writable ?? workDir, target: rootfs }, { signal });
  try {
    const root = join(workDir, 'runtime');
    return await runBundle({ runtime: command.runtime, root, bundle: workDir, containerId, args }, signal);
  } finally {
    await unmountOverlay(rootfs);
    await Promise.all(
      [rootfs, join(workDir, 'runtime'), join(workDir, 'config.json'), join(workDir, 'pid')].map((path) =>
        rm(path, { recursive: true, force: true }),
      ),
    );
  }
}

interface Container {
  readonly runtime: ContainerRuntime;
  /** The runtime's state directory. */
  readonly root: string;
  readonly bundle: string;
  readonly containerId: string;
  readonly args: readonly string[];
}

async function runBundle(
  { runtime, root, bundle, containerId, args }: Container,
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted();
  const pidFile = join(bundle, 'pid');
  const child = spawn(runtime, ['--root', root, 'run', '--bundle', bundle, '--pid-file', pidFile, containerId], {
    stdio: 'inherit',
  });
  const kill = () => spawnSync(runtime, ['--root', root, 'kill', containerId, 'KILL'], { stdio: 'ignore' });
  let late: NodeJS.Timeout | undefined;
  // The runtime passes the signal on to the first process of the container, which is PID 1 there: without a handler it ignores it.
  const stop = () => {
    child.kill('SIGTERM');
    late = setTimeout(kill, STOP_GRACE_MS);
  };
  signal.addEventListener('abort', stop, { once: true });
  // The second interruption ends this program at once: the container and its overlay do not outlive it.
  const abandon = () => {
    spawnSync(runtime, ['--root', root, 'delete', '--force', containerId], {
      stdio: 'ignore',
    });
    spawnSync('umount', ['--lazy', join(bundle, 'rootfs')], { stdio: 'ignore' });
  };
  process.once('exit', abandon);
  try {
    const [exitCode, exitSignal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    signal.throwIfAborted();
    if (exitCode === null) throw new WorkerError('RUN_FAILED', `${runtime} ended by ${exitSignal ?? 'a signal'}`);
    // The runtime writes the file when the process stands; its own failure exits with 1 like many a command does.
    if (exitCode !== 0 && !(await isThere(pidFile)))
      throw new WorkerError(
        'RUN_FAILED',
        `${runtime} could not start ${args[0] ?? ''} in the container: its words are above`,
      );
    return exitCode;
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError('RUN_FAILED', `${runtime} cannot be started: ${messageOf(thrown)}`, {}, { cause: thrown });
  } finally {
    clearTimeout(late);
    process.off('exit', abandon);
    signal.removeEventListener('abort', stop);
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
