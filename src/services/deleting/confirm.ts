import { WorkerError } from '../../errors/index.ts';

export interface Terminal {
  /** One line, as it was typed. */
  ask(question: string): Promise<string>;
}

export interface ConfirmRequest {
  /** A person at a terminal; undefined for pipes, files and scripts. There is no way around it. */
  readonly terminal: Terminal | undefined;
  readonly imageCount: number;
  /** All services: the name of what goes is typed, too. */
  readonly all: { readonly name: string } | undefined;
}

/** Asks until everything is confirmed, word for word. Throws TERMINAL_REQUIRED, NOT_CONFIRMED. */
export async function confirmDeletion({ all, imageCount, terminal }: ConfirmRequest): Promise<void> {
  if (terminal === undefined)
    throw new WorkerError(
      'TERMINAL_REQUIRED',
      'deleting images is confirmed at a terminal; see what would go with --dry-run',
    );
  const images = imageCount === 1 ? '1 image' : `${imageCount} images`;
  await demand(terminal, `Delete ${images}? This cannot be undone. Type "yes" to go on: `, 'yes');
  if (all !== undefined)
    await demand(terminal, `This is every image of all services. Type "${all.name}" to go on: `, all.name);
  await demand(terminal, 'Type "DELETE" to confirm: ', 'DELETE');
}

async function demand(terminal: Terminal, question: string, word: string): Promise<void> {
  if ((await terminal.ask(question)) === word) return;
  throw new WorkerError('NOT_CONFIRMED', `"${word}" was not typed: nothing was deleted`);
}
