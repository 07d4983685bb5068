import { access, constants } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { WorkerError } from '../../../errors/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A scanner of somebody else. */
export interface ScanProgram {
  readonly path: string;
  /** Without it there is no scan; else what cannot be done with it is done without it, and said. */
  readonly isRequired: boolean;
  readonly env: Environment;
}

/** `auto`: where it is on the PATH; `always`: it must be there; `never`; or the program's path, which must be there. */
export type ProgramChoice = string;

/** Finds a program as a person chose it. Throws USAGE for no choice, SCAN_TOOL_MISSING. */
export async function findProgram(
  name: string,
  choice: ProgramChoice,
  env: Environment,
): Promise<ScanProgram | undefined> {
  if (choice === 'never') return undefined;
  const isPath = choice.includes('/');
  if (!isPath && choice !== 'auto' && choice !== 'always')
    throw new WorkerError('USAGE', `--${name} ${choice}: one of auto, always, never, or a path is needed`);
  // An empty entry of PATH is the working directory, where anything may lie.
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = isPath ? [resolve(choice)] : folders.map((folder) => join(folder, name));
  for (const path of candidates) if (await isExecutable(path)) return { path, isRequired: choice !== 'auto', env };
  if (choice === 'auto') return undefined;
  throw new WorkerError(
    'SCAN_TOOL_MISSING',
    isPath ? `${name}: ${choice} is no program` : `--${name} always: ${name} is not on the PATH`,
    { program: name },
  );
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
