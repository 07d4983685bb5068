import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { type Cancelable, messageOf, WorkerError } from '../../../errors/index.ts';
import type { Environment, ScanProgram } from './find-program.ts';

export interface ProgramBounds {
  readonly timeoutMs: number;
  /** Of what it writes to its standard output. */
  readonly maxBytes: number;
}

/** syft needs seconds, trivy a minute where it fetches its database first; their documents have a few megabytes. */
export const SCAN_BOUNDS: ProgramBounds = { timeoutMs: 15 * 60_000, maxBytes: 128 * 1024 * 1024 };

/** Secrets of registries and stores are none of a scanner's business. */
const HANDED_DOWN =
  /^(?:PATH|HOME|USER|TMPDIR|LANG|LC_\w+|TZ|XDG_\w+|SSL_CERT_(?:FILE|DIR)|(?:https?|no|all)_proxy|(?:SYFT|TRIVY)_\w+)$/i;
/** Of its standard error, for the message. */
const MAX_SAID_BYTES = 64 * 1024;
const MAX_SAID_CHARACTERS = 1000;

/**
 * Runs a program to its end and gives its standard output. It runs in this process's folder: what configures it there is the person's,
 * never the image's. It and all it started are gone when this returns, so that what it read can be unmounted. Throws SCAN_TOOL_FAILED.
 */
export async function runProgram(
  { env, path }: ScanProgram,
  args: readonly string[],
  {
    bounds,
    signal,
    defaults = {},
  }: Cancelable & {
    readonly bounds: ProgramBounds;
    /** Variables that the person's own go before. */
    readonly defaults?: Environment;
  },
): Promise<string> {
  signal.throwIfAborted();
  const handedDown = Object.entries(env).filter(([name]) => HANDED_DOWN.test(name));
  const child = spawn(path, args, {
    env: { ...defaults, ...Object.fromEntries(handedDown) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own, to end it as a whole
  });
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  exited.catch(() => undefined); // awaited below; a spawn failure is not reported twice
  const end = () => {
    if (child.pid !== undefined) killGroup(child.pid);
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(bounds.timeoutMs)]);
  bounded.addEventListener('abort', end, { once: true });
  try {
    const [output, said, [exitCode, exitSignal]] = await Promise.all([
      wholeOf(child.stdout, bounds.maxBytes, path),
      lastOf(child.stderr),
      exited,
    ]);
    if (exitCode === 0) return output;
    const how = exitSignal ?? `exit code ${String(exitCode)}`;
    throw new WorkerError('SCAN_TOOL_FAILED', `${path} ended with ${how}${said === '' ? '' : `: ${said}`}`);
  } catch (thrown) {
    signal.throwIfAborted();
    if (bounded.aborted)
      throw new WorkerError('SCAN_TOOL_FAILED', `${path} took longer than ${bounds.timeoutMs / 1000} s`);
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError('SCAN_TOOL_FAILED', `run ${path}: ${messageOf(thrown)}`, {}, { cause: thrown });
  } finally {
    bounded.removeEventListener('abort', end);
    end();
    await exited.catch(() => undefined);
  }
}

async function wholeOf(stream: Readable, maxBytes: number, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw new WorkerError('SCAN_TOOL_FAILED', `${path} writes more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The last line that says something, with the indented ones that go on it: Go's lists of errors are written so. */
async function lastOf(stream: Readable): Promise<string> {
  let said = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>)
    said = Buffer.concat([said, chunk]).subarray(-MAX_SAID_BYTES);
  const lines = said
    .toString('utf8')
    .trim()
    .replaceAll(/\s*\n\s+/g, ' ');
  const line = lines.split('\n').at(-1) ?? '';
  return line
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, MAX_SAID_CHARACTERS);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
