import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { findNativeTool, type NativeToolPaths } from '../native/index.ts';
import { socketPathOf } from './socket-path.ts';

/** A loaded machine takes its time to start two processes. */
const START_DEADLINE_MS = 20_000;
const POLL_MS = 10;
/** Characters of the log that an error shows: longer than the daemon's usage. */
const LOG_TAIL = 2_000;
/** EX_USAGE of sysexits.h: the daemon cannot make sense of its command line. */
const USAGE_EXIT = 64;

/** Where the daemon of a command is. */
export interface MountDaemon {
  readonly stateDir: string;
  readonly tools: NativeToolPaths;
  /** Socket of a daemon that somebody else manages; absent: this state directory's own, started when it is needed. */
  readonly mountSocket: string | undefined;
  /** Options of a daemon that is started, as on the command line of `hold`. One that runs goes by its own. */
  readonly daemonOptions?: readonly string[];
}

/** A folder a mount, with its record. */
export function mountsDirectory({ stateDir }: Pick<MountDaemon, 'stateDir'>): string {
  return join(stateDir, 'mounts');
}

/** The log of this state directory's daemons, and their sockets with their locks where the path is short enough. */
export function socketsDirectory({ stateDir }: Pick<MountDaemon, 'stateDir'>): string {
  return join(stateDir, 'mountd');
}

/** The daemon's socket: the one that is named, else this state directory's own. Throws CONFIG_INVALID. */
export async function daemonSocket({ mountSocket, stateDir }: MountDaemon): Promise<string> {
  return mountSocket ?? (await socketPathOf(stateDir));
}

/**
 * Runs `work` with the socket of a daemon, which is started where none runs, and again when it ended in between: with its
 * last mount, or killed. It can do what this user can. Throws MOUNT_DAEMON_UNAVAILABLE when none comes up.
 */
export async function withDaemon<T>(
  daemon: MountDaemon,
  work: (socketPath: string) => Promise<T>,
  { signal }: Cancelable,
): Promise<T> {
  const socketPath = await daemonSocket(daemon);
  if (daemon.mountSocket !== undefined) return await work(socketPath);
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    try {
      return await work(socketPath);
    } catch (thrown) {
      const gone = thrown instanceof WorkerError && thrown.code === 'MOUNT_DAEMON_UNAVAILABLE';
      if (!gone) throw thrown;
      if (Date.now() > deadline)
        throw new WorkerError(
          'MOUNT_DAEMON_UNAVAILABLE',
          `${thrown.message}; its log: ${await endOfLog(daemon)}`,
          {},
          { cause: thrown },
        );
    }
    await startHolder(daemon, socketPath, { signal });
  }
}

/** Starts a holder, which ends at once when another one serves the socket, and waits for either. */
async function startHolder(daemon: MountDaemon, socketPath: string, { signal }: Cancelable): Promise<void> {
  const tool = findNativeTool('clipyard-mountd', daemon.tools);
  for (const path of [socketPath, logPath(daemon)]) await makeDirectory(dirname(path), { mode: 0o700 });
  await using log = await open(logPath(daemon), 'a', 0o600);
  // The last one of an option counts: no setting moves socket and state.
  const where = ['--idle-exit', '--socket', socketPath, '--state', mountsDirectory(daemon)];
  const args = ['hold', ...(daemon.daemonOptions ?? []), ...where];
  const child = spawn(tool, args, { stdio: ['ignore', 'ignore', log.fd], detached: true });
  const ended = new AbortController();
  for (const event of ['error', 'exit'])
    child.once(event, () => {
      ended.abort();
    });
  child.unref();
  const deadline = Date.now() + START_DEADLINE_MS;
  while (!ended.signal.aborted && Date.now() < deadline) {
    if (await listens(socketPath)) return;
    await sleep(POLL_MS, undefined, { signal });
  }
  if (child.exitCode === USAGE_EXIT) throw await refusedOptions(daemon);
}

/** The daemon writes what is wrong with its command line, then how it is used. */
async function refusedOptions(daemon: MountDaemon): Promise<WorkerError> {
  const log = await endOfLog(daemon);
  const why = log.slice(0, log.lastIndexOf('usage:')).trimEnd().split('\n').at(-1);
  const options = (daemon.daemonOptions ?? []).join(' ');
  return new WorkerError('CONFIG_INVALID', `CLIPYARD_MOUNTD_OPTIONS: ${why ?? ''} (options: ${options})`);
}

/** Whether a process listens at the path (proc(5), net/unix: flag 00010000 marks a listener). */
async function listens(socketPath: string): Promise<boolean> {
  const table = await readFile('/proc/net/unix', 'utf8');
  return table.split('\n').some((line) => line.endsWith(` ${socketPath}`) && line.includes(' 00010000 '));
}

function logPath(daemon: MountDaemon): string {
  return join(socketsDirectory(daemon), 'mountd.log');
}

async function endOfLog(daemon: MountDaemon): Promise<string> {
  return (await readFile(logPath(daemon), 'utf8').catch(() => 'none')).slice(-LOG_TAIL);
}
