import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { type Cancelable, isErrorCode, toWorkerError, WorkerError } from '../errors/index.ts';
import { ToolEvent } from './tool-event.ts';

export interface RunToolOptions extends Cancelable {
  /** Extra descriptors for the child from 3 on, e.g. the output of `cat`. */
  readonly extraStdio?: readonly number[];
  /** Gets what sends further lines to the tool while it runs; a tool that is gone hears nothing. */
  readonly onStart?: (send: (line: unknown) => void) => void;
}

/**
 * Runs a one-shot native tool: one request line on stdin, events on stdout, log lines on stderr. stdin stays open
 * until the tool ends, because its end means "stop". An `error` event is thrown as a WorkerError with the tool's code.
 * Throws NATIVE_TOOL_FAILED when the tool dies without one.
 */
export async function* runTool(
  path: string,
  args: readonly string[],
  request: unknown,
  { signal, extraStdio = [], onStart }: RunToolOptions,
): AsyncGenerator<Exclude<ToolEvent, { event: 'error' }>> {
  signal.throwIfAborted();
  // Node types a stdio list of unknown length without its pipes; the first two are ours.
  const child = spawn(path, args, {
    stdio: ['pipe', 'pipe', 'inherit', ...extraStdio],
    signal,
  }) as ChildProcessByStdio<Writable, Readable, null>;
  const closed = once(child, 'close');
  closed.catch(() => undefined); // awaited below; a spawn failure is not reported twice
  child.stdin.on('error', () => undefined); // a tool that died says why on stdout or by its exit code
  try {
    const send = (line: unknown) => {
      if (child.stdin.writable) child.stdin.write(`${JSON.stringify(line)}\n`);
    };
    send(request);
    onStart?.(send);
    for await (const line of createInterface({ input: child.stdout })) {
      const event = parseEvent(path, line);
      if (event.event === 'error') throw errorOf(event);
      yield event;
    }
    const [exitCode, exitSignal] = (await closed) as [number | null, string | null];
    if (exitCode !== 0)
      throw new WorkerError(
        'NATIVE_TOOL_FAILED',
        `${path} ${args.join(' ')} ended with ${exitSignal ?? `exit code ${String(exitCode)}`}`,
      );
  } catch (thrown) {
    signal.throwIfAborted();
    throw toWorkerError(thrown, `run ${path}`, 'NATIVE_TOOL_FAILED');
  } finally {
    child.stdin.end();
    child.kill(); // the consumer may stop early
  }
}

function parseEvent(path: string, line: string): ToolEvent {
  try {
    return ToolEvent.parse(JSON.parse(line));
  } catch (cause) {
    throw new WorkerError(
      'NATIVE_TOOL_FAILED',
      `${path} said something that is no event: ${line.slice(0, 200)}`,
      {},
      { cause },
    );
  }
}

function errorOf(event: Extract<ToolEvent, { event: 'error' }>): WorkerError {
  const code = isErrorCode(event.code) ? event.code : 'NATIVE_TOOL_FAILED';
  return new WorkerError(code, event.message, { ...event.details, ...(event.id === '' ? {} : { id: event.id }) });
}
