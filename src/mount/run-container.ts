import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, messageOf, WorkerError } from '../errors/index.ts';
import { runtimeSpec } from './runtime-spec.ts';
import { resolveUser } from './user.ts';

/** Between SIGTERM and SIGKILL, as long as a person waits before pressing Ctrl-C again. */
const STOP_GRACE_MS = 5000;

/** What the image configuration says about starting it. */
export interface ImageDefaults {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

export interface ContainerCommand {
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
 * Runs a command with runc in an overlay over the image mount and gives its exit code. Overlay and bundle are gone when
 * it returns. Throws RUN_FAILED when runc cannot start it.
 */
export async function runContainer(command: ContainerCommand, { signal }: Cancelable): Promise<number> {
  const { containerId, image, lower, workDir } = command;
  const upper = join(command.writable ?? workDir, 'upper');
  const work = join(command.writable ?? workDir, 'work');
  const rootfs = join(workDir, 'rootfs');
  await Promise.all([upper, work, rootfs].map((directory) => mkdir(directory, { recursive: true })));
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
  await runOrThrow('mount', [
    '-t',
    'overlay',
    'overlay',
    '-o',
    `lowerdir=${option(lower)},upperdir=${option(upper)},workdir=${option(work)}`,
    rootfs,
  ]);
  try {
    return await runc({ root: join(workDir, 'runc'), bundle: workDir, containerId, args }, signal);
  } finally {
    await runOrThrow('umount', [rootfs]);
    await Promise.all(
      [rootfs, join(workDir, 'runc'), join(workDir, 'config.json'), join(workDir, 'pid')].map((path) =>
        rm(path, { recursive: true, force: true }),
      ),
    );
  }
}

/** A path inside an overlay option: `,`, `:` and `\` would end it. */
function option(path: string): string {
  return path.replaceAll(/[\\,:]/g, (char) => `\\${char}`);
}

interface Container {
  /** runc's state directory. */
  readonly root: string;
  readonly bundle: string;
  readonly containerId: string;
  readonly args: readonly string[];
}

async function runc({ root, bundle, containerId, args }: Container, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const pidFile = join(bundle, 'pid');
  const child = spawn('runc', ['--root', root, 'run', '--bundle', bundle, '--pid-file', pidFile, containerId], {
    stdio: 'inherit',
  });
  const kill = () => spawnSync('runc', ['--root', root, 'kill', containerId, 'KILL'], { stdio: 'ignore' });
  let late: NodeJS.Timeout | undefined;
  // runc passes the signal on to the first process of the container, which is PID 1 there: without a handler it ignores it.
  const stop = () => {
    child.kill('SIGTERM');
    late = setTimeout(kill, STOP_GRACE_MS);
  };
  signal.addEventListener('abort', stop, { once: true });
  // The second interruption ends this program at once: the container and its overlay do not outlive it.
  const abandon = () => {
    spawnSync('runc', ['--root', root, 'delete', '--force', containerId], { stdio: 'ignore' });
    spawnSync('umount', ['--lazy', join(bundle, 'rootfs')], { stdio: 'ignore' });
  };
  process.once('exit', abandon);
  try {
    const [exitCode, exitSignal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    signal.throwIfAborted();
    if (exitCode === null) throw new WorkerError('RUN_FAILED', `runc ended by ${exitSignal ?? 'a signal'}`);
    // runc writes the file when the process stands; its own failure exits with 1 like many a command does.
    if (exitCode !== 0 && !(await isThere(pidFile)))
      throw new WorkerError(
        'RUN_FAILED',
        `runc could not start ${args[0] ?? ''} in the container: its words are above`,
      );
    return exitCode;
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError('RUN_FAILED', `runc cannot be started: ${messageOf(thrown)}`, {}, { cause: thrown });
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

async function runOrThrow(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  const closed = once(child, 'close');
  for await (const text of child.stderr) said += String(text);
  const [exitCode] = (await closed) as [number | null];
  if (exitCode !== 0)
    throw new WorkerError(
      'RUN_FAILED',
      `${program} ${args.join(' ')}: ${said.trim() || `exit code ${String(exitCode)}`}`,
    );
}
