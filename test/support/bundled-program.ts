import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type BundledFile, bundle } from '../../scripts/bundle.ts';

const root = join(import.meta.dirname, '..', '..');

/** The program of this checkout's sources. */
export const SOURCE_PROGRAM = join(root, 'src/bin/cli.ts');

export interface BundledProgram extends AsyncDisposable {
  readonly path: string;
  readonly files: readonly BundledFile[];
}

/** The same as a bundle, below the checkout as dist/ is, until disposed. */
export async function bundledProgram(): Promise<BundledProgram> {
  const directory = await mkdtemp(join(await stateFolder(), 'bundle-'));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    const files = await bundle(directory);
    return { path: join(directory, 'bin/cli.js'), files, [Symbol.asyncDispose]: remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}

async function stateFolder(): Promise<string> {
  const folder = join(root, '.clipyard', 'tmp');
  await mkdir(folder, { recursive: true });
  return folder;
}
