import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { CommandContext } from './context.ts';

/** A person who can be asked. */
export interface Prompt {
  /** One line, as typed. Rejects when the input ends or the command is stopped. */
  ask(question: string): Promise<string>;
  /** The same, and nothing that is typed is shown. */
  askHidden(question: string): Promise<string>;
}

/** undefined unless both ends are a terminal: what comes through a pipe was typed by nobody. */
export function promptOf({ signal, stderr }: CommandContext): Prompt | undefined {
  if (!process.stdin.isTTY || stderr.isTTY !== true) return undefined;
  const ask = async (question: string, hidden: boolean) => {
    // readline shows what is typed by writing it: to nowhere, where it is hidden.
    const output = hidden
      ? new Writable({
          write: (_chunk, _encoding, done) => {
            done();
          },
        })
      : stderr;
    const lines = createInterface({ input: process.stdin, output, terminal: true });
    // Only now does the terminal itself show nothing: what is typed ahead of the question stays hidden too.
    stderr.write(question);
    try {
      return await lines.question('', { signal });
    } finally {
      lines.close();
      if (hidden) stderr.write('\n');
    }
  };
  return { ask: (question) => ask(question, false), askHidden: (question) => ask(question, true) };
}
