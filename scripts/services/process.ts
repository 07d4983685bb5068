import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from './definitions.ts';
import type { Places } from './state.ts';

const LOG_LIMIT_BYTES = 32 * 1024 * 1024;

const pidFile = (places: Places, name: string): string => join(places.pids, `${name}.pid`);

/**
 * The pid of a service that is alive and really ours: its executable has the right name and its arguments name our
 * directory. A pid file alone may point at a stranger after a reboot, and another checkout runs the same binaries.
 */
export function runningPid(places: Places, service: Service): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile(places, service.name), 'utf8'));
    if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
    const executable = basename(readlinkSync(`/proc/${pid}/exe`));
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return executable.startsWith(service.binary) && args.some((arg) => arg.includes(service.ownArgument))
      ? pid
      : undefined;
  } catch {
    return undefined;
  }
}

/** False when it was started from another build of the program or with other arguments than today's. */
export function isCurrent(places: Places, service: Service, pid: number): boolean {
  const [, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  return (
    readlinkSync(`/proc/${pid}/exe`) === realpathSync(join(places.tools, service.binary)) &&
    args.join('\0') === service.args.join('\0')
  );
}

export function launch(places: Places, service: Service): number {
  const binary = join(places.tools, service.binary);
  if (!existsSync(binary)) throw new Error(`${service.binary} is not installed; run scripts/setup.sh`);
  for (const directory of [places.pids, places.logs, places.data(service.name)])
    mkdirSync(directory, { recursive: true });
  service.beforeStart?.();
  const log = logFile(places, service);
  if (existsSync(log) && statSync(log).size > LOG_LIMIT_BYTES) renameSync(log, `${log}.1`);
  const output = openSync(log, 'a', 0o600);
  const child = spawn(realpathSync(binary), service.args, {
    cwd: places.data(service.name),
    env: { ...process.env, ...service.env },
    stdio: ['ignore', output, output],
    detached: true,
  });
  closeSync(output);
  child.unref();
  if (child.pid === undefined) throw new Error(`${service.name} could not be started; see ${log}`);
  writeFileSync(pidFile(places, service.name), `${child.pid}\n`);
  return child.pid;
}

export const logFile = (places: Places, service: Service): string => join(places.logs, `${service.name}.log`);

/** Waits until the service answers; says why when it died or took too long. */
export async function untilReady(places: Places, service: Service, timeoutMs: number): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await service.ready())) {
    const alive = runningPid(places, service) !== undefined;
    if (alive && Date.now() < end) await sleep(25);
    else {
      const tail = readFileSync(logFile(places, service), 'utf8').trimEnd().split('\n').slice(-8).join('\n  ');
      throw new Error(
        `${service.name} ${alive ? 'did not answer in time' : 'ended at start'}; its log ends:\n  ${tail}`,
      );
    }
  }
  if (runningPid(places, service) === undefined)
    throw new Error(`${service.name}: another program answers on its address`);
}

/** SIGTERM, then SIGKILL after the grace time. buildkitd lets a running build finish on SIGTERM. */
export async function terminate(places: Places, service: Service, graceMs: number): Promise<boolean> {
  const pid = runningPid(places, service);
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM');
    const end = Date.now() + graceMs;
    while (runningPid(places, service) === pid && Date.now() < end) await sleep(20);
    if (runningPid(places, service) === pid) process.kill(pid, 'SIGKILL');
    while (runningPid(places, service) === pid) await sleep(20);
  }
  rmSync(pidFile(places, service.name), { force: true });
  return pid !== undefined;
}
