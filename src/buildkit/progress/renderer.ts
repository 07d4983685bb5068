import type { BuildListener } from './events.ts';
import { plainRenderer } from './plain.ts';
import { type TerminalOptions, type TerminalOutput, terminalRenderer } from './tty.ts';

export interface RendererOutput extends TerminalOutput {
  readonly isTTY?: boolean;
}

export interface RendererOptions extends TerminalOptions {
  /** `auto` draws on a terminal and prints lines elsewhere. */
  readonly mode: 'auto' | 'plain';
}

/** What shows a build to a person, until it is disposed of. */
export function createRenderer(
  output: RendererOutput,
  { mode, now }: RendererOptions,
): Disposable & { readonly listener: BuildListener } {
  if (mode === 'auto' && output.isTTY === true) return terminalRenderer(output, { now });
  const listener = plainRenderer((line) => {
    output.write(`${line}\n`);
  });
  return { listener, [Symbol.dispose]: () => undefined };
}
