import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runCommandLine } from '../../src/cli/index.ts';
import type { CommandResult } from './command-line.ts';

/** The command line as a person types it, in this process: starts at once, and cannot be killed. */
export async function runInProcess(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<CommandResult> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const exitCode = await runCommandLine(['node', 'clipyard', ...args], {
    env,
    root: join(import.meta.dirname, '../..'),
    signal: new AbortController().signal,
    stdout,
    stderr,
  });
  stdout.end();
  stderr.end();
  return { exitCode, stdout: await text(stdout), stderr: await text(stderr) };
}
