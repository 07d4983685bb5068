import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import { peakBytesOf, readCounter, treeOf } from './process-tree.ts';

export interface Usage {
  readonly seconds: number;
  /** User and system, children included. */
  readonly cpuSeconds: number;
  /** Of the processes that ran, the sum of what each held at most. */
  readonly peakBytes: number;
  /** Through read(2): files, pipes and sockets. */
  readonly readBytes: number;
}

export interface MeasuredCommand {
  readonly command: readonly [program: string, ...args: string[]];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** For stdin, which stays open until the program ends: our tools take its end for "stop". */
  readonly input?: string;
  /** Default true. Looking takes the thread that carries the bytes of a shaped link: not where nobody wants the peak. */
  readonly probesMemory?: boolean;
}

/** A process that lives shorter than this is not seen by the memory probe. */
const PROBE_MS = 20;
const MAX_OUTPUT_CHARS = 4000;
/**
 * The shell waits for the program and then tells what the kernel booked on it for its children: CPU time by `times`, bytes
 * read by /proc. Both are exact, and neither needs a tool that a machine may lack.
 */
const WRAPPER = '"$@" 3>&-; code=$?; { times; cat /proc/$$/io; } >&3; exit $code';

/** Runs a program to its end and says what it took. Throws BENCH_FAILED when it fails; an abort ends the whole group. */
export async function runMeasured(
  { command, env, input, probesMemory = true }: MeasuredCommand,
  { signal }: Cancelable,
): Promise<Usage & { readonly stdout: string }> {
  signal.throwIfAborted();
  const beganMs = performance.now();
  const child = spawn('/bin/sh', ['-c', WRAPPER, 'sh', ...command], {
    env: env as NodeJS.ProcessEnv | undefined,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    detached: true, // a group of its own, to be ended whole
  });
  const stop = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // it has ended
    }
  };
  signal.addEventListener('abort', stop, { once: true });
  const peaks = new Map<number, number>();
  const look = () => {
    for (const pid of treeOf(child.pid ?? 0).slice(1)) peaks.set(pid, Math.max(peaks.get(pid) ?? 0, peakBytesOf(pid)));
  };
  const probe = probesMemory ? setInterval(look, PROBE_MS) : undefined;
  try {
    const closed = once(child, 'close') as Promise<[number | null, string | null]>;
    closed.catch(() => undefined); // awaited below
    child.stdin.on('error', () => undefined);
    if (input === undefined) child.stdin.end();
    else child.stdin.write(input);
    const counters = child.stdio[3];
    const [stdout, stderr, booked] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      counters === null || counters === undefined || !('readable' in counters) ? '' : text(counters),
    ]);
    const seconds = (performance.now() - beganMs) / 1000;
    const [exitCode, exitSignal] = await closed;
    signal.throwIfAborted();
    if (exitCode !== 0)
      throw new WorkerError(
        'BENCH_FAILED',
        `${command.slice(0, 4).join(' ')} … ended with ${exitSignal ?? String(exitCode)}: ${(stderr || stdout).slice(-MAX_OUTPUT_CHARS)}`,
      );
    const peakBytes = [...peaks.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { seconds, cpuSeconds: childSeconds(booked), peakBytes, readBytes: readCounter(booked), stdout };
  } catch (thrown) {
    signal.throwIfAborted();
    throw toWorkerError(thrown, `run ${command[0]}`, 'BENCH_FAILED');
  } finally {
    clearInterval(probe);
    signal.removeEventListener('abort', stop);
    stop();
  }
}

/** The second line of `times` (POSIX): `0m1.234s 0m0.567s`, user and system of the children. */
export function childSeconds(booked: string): number {
  const [, line = ''] = booked.split('\n');
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  );
}
