import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { BuildResult } from '../../src/jobs/index.ts';

const root = join(import.meta.dirname, '..', '..');

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  /** Resolves when the command ended, however it did. */
  readonly result: Promise<CommandResult>;
  /** Resolves when a line on stderr matches; rejects when the command ends before. */
  sawLine(pattern: RegExp): Promise<string>;
}

/** Runs `scripts/clipyard` as a person or script would, with settings on top of the environment. */
export function startCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  { cwd }: { readonly cwd?: string } = {},
): RunningCommand {
  const child = spawn(join(root, 'scripts/clipyard'), args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const waiting = new Map<RegExp, (line: string) => void>();
  const seen: string[] = [];
  let pending = '';
  child.stderr.on('data', (chunk: Buffer) => {
    const lines = (pending + chunk.toString()).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      seen.push(line);
      for (const [pattern, resolve] of waiting) if (pattern.test(line)) resolve(line);
    }
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  const result = Promise.all([text(child.stdout), text(child.stderr), closed]).then(([stdout, stderr, [exitCode]]) => ({
    exitCode,
    stdout,
    stderr,
  }));
  return {
    child,
    result,
    async sawLine(pattern) {
      const already = seen.find((line) => pattern.test(line));
      if (already !== undefined) return already;
      const line = new Promise<string>((resolve) => waiting.set(pattern, resolve));
      const ended = result.then(({ stderr }) => {
        throw new Error(`the command ended before a line matched ${String(pattern)}:\n${stderr.slice(-2000)}`);
      });
      ended.catch(() => undefined);
      return await Promise.race([line, ended]);
    },
  };
}

export async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly cwd?: string } = {},
): Promise<CommandResult> {
  return await startCommand(args, env, options).result;
}

/** The JSON result of a command that must succeed. */
export async function commandJson<T>(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<T> {
  const { exitCode, stderr, stdout } = await runCommand(['--json', ...args], env);
  if (exitCode !== 0)
    throw new Error(`clipyard ${args.join(' ')} ended with ${String(exitCode)}:\n${stderr.slice(-4000)}`);
  return JSON.parse(stdout) as T;
}

/** The coded error of a command that must fail. */
export async function commandError(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{
  readonly exitCode: number | null;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
}> {
  const { exitCode, stderr, stdout } = await runCommand(['--json', ...args], env);
  const line = stderr.split('\n').findLast((text) => text.startsWith('{"error"'));
  if (line === undefined)
    throw new Error(
      `clipyard ${args.join(' ')} ended with ${String(exitCode)} and without a coded error:\n${stderr.slice(-2000)}${stdout.slice(0, 500)}`,
    );
  const { error } = JSON.parse(line) as { error: { code: string; message: string; details: Record<string, string> } };
  return { exitCode, ...error };
}

export async function buildJson(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<BuildResult> {
  return await commandJson<BuildResult>(['build', ...args], env);
}
