import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
}

export interface ServerCommand {
  /** The name of a program in `.clipyard/bin`. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Answers as soon as the server is up. */
  readonly url: string;
}

const START_TIMEOUT_MS = 20_000;

/** The path of a program that set-up installed. */
export function installedProgram(name: string): string {
  const path = join(import.meta.dirname, '../../.clipyard/bin', name);
  if (!existsSync(path)) throw new Error(`${name} is not installed: run scripts/setup.sh`);
  return path;
}

/** Starts a server and waits until it answers; the server that answers is this one, not another on its port. */
export async function startServer({ program, args, env = {}, url }: ServerCommand): Promise<ServerProcess> {
  const child = spawn(installedProgram(program), args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  const closed = once(child, 'close');
  const errors = text(child.stderr);
  const stop = async () => {
    child.kill();
    await closed;
  };
  const end = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(url))) {
    if (child.exitCode === null && Date.now() < end) {
      await sleep(20);
      continue;
    }
    await stop();
    throw new Error(`${program} did not start: ${(await errors).slice(-2000)}`);
  }
  if (child.exitCode !== null || child.pid === undefined)
    throw new Error(`${program} ended, and another server answers at ${url}`);
  return { pid: child.pid, [Symbol.asyncDispose]: stop };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.body?.cancel();
    return true;
  } catch {
    return false;
  }
}
