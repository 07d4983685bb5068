import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, release, totalmem } from 'node:os';
import { text } from 'node:stream/consumers';

export interface Run {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export interface Summary {
  readonly name: string;
  readonly medianSeconds: number;
  readonly minSeconds: number;
  readonly maxSeconds: number;
  readonly medianCpuSeconds: number;
  readonly peakBytes: number;
  readonly runs: readonly Run[];
}

/** One way of doing the work; `prepare` is not measured. */
export interface Contender {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  /** Bytes for stdin, which stays open until the program ends: our tools take its end for "stop". */
  readonly input?: string;
  readonly prepare?: () => void;
}

/** What the numbers were measured on. */
export function machine(): object {
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

/** Runs the contenders in turn, `rounds` times over, so that a slow minute of the machine hits all of them. */
export async function interleave(contenders: readonly Contender[], rounds: number): Promise<readonly Summary[]> {
  const runs = contenders.map((): Run[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, contender] of contenders.entries()) {
      contender.prepare?.();
      const run = await measure(contender);
      runs[at]?.push(run);
      process.stderr.write(`${contender.name}: ${run.seconds.toFixed(2)} s, ${run.cpuSeconds.toFixed(2)} CPU s\n`);
    }
  }
  return contenders.map(({ name }, at) => summarise(name, runs[at] ?? []));
}

/** GNU time's own clock and counters, children included. */
async function measure({ command, input, name }: Contender): Promise<Run> {
  const child = spawn('/usr/bin/time', ['-f', '@%e %U %S %M', ...command], { stdio: ['pipe', 'ignore', 'pipe'] });
  const closed = once(child, 'close') as Promise<[number | null]>;
  if (input !== undefined) child.stdin.write(input);
  const said = await text(child.stderr);
  const [exitCode] = await closed;
  if (exitCode !== 0) throw new Error(`${name} ended with ${String(exitCode)}: ${said.slice(-1000)}`);
  const [seconds = 0, user = 0, system = 0, kilobytes = 0] = (said.split('@').at(-1) ?? '')
    .trim()
    .split(' ')
    .map(Number);
  return { seconds, cpuSeconds: user + system, peakBytes: kilobytes * 1024 };
}

function summarise(name: string, runs: readonly Run[]): Summary {
  const seconds = runs.map((run) => run.seconds).toSorted((a, b) => a - b);
  const cpu = runs.map((run) => run.cpuSeconds).toSorted((a, b) => a - b);
  const middle = Math.floor(runs.length / 2);
  return {
    name,
    medianSeconds: seconds[middle] ?? 0,
    minSeconds: seconds[0] ?? 0,
    maxSeconds: seconds.at(-1) ?? 0,
    medianCpuSeconds: cpu[middle] ?? 0,
    peakBytes: Math.max(...runs.map((run) => run.peakBytes)),
    runs,
  };
}
