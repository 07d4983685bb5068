import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import type { ClipyardCommand } from './contenders/clipyard-index.ts';
import type { Contender } from './contenders/contender.ts';

/** What every benchmark gets from the command line. */
export interface BenchContext extends Cancelable {
  readonly clipyard: ClipyardCommand;
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  readonly jobs: number;
  /** Progress, a line each. */
  readonly say: (line: string) => void;
}

export interface Scratch extends AsyncDisposable {
  readonly directory: string;
  /** For repositories of this run: `bench-<hex>`. */
  readonly name: string;
}

/** A folder of one benchmark, on the state's file system; it goes with all that is in it. */
export async function openScratch(stateDir: string): Promise<Scratch> {
  const parent = join(stateDir, 'tmp');
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, 'bench-'));
  return {
    directory,
    name: `bench-${randomBytes(4).toString('hex')}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Throws USAGE for a name that is not in the list. */
export function checkNames(all: readonly string[], names: readonly string[] | undefined): void {
  const unknown = names?.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new WorkerError('USAGE', `--contenders ${unknown}: there is ${all.join(', ')}`);
}

/** The named ones in the order of the list, or all. Throws USAGE. */
export function chooseContenders(
  all: readonly Contender[],
  names: readonly string[] | undefined,
): readonly Contender[] {
  checkNames(
    all.map(({ id }) => id),
    names,
  );
  return names === undefined ? all : all.filter(({ id }) => names.includes(id));
}
