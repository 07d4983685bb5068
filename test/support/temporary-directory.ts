import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serviceSetting } from './services.ts';

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

/** An empty directory that is gone when the test is: `await using directory = await temporaryDirectory()`. */
export async function temporaryDirectory(label = 'test'): Promise<TemporaryDirectory> {
  return await emptyDirectory(join(tmpdir(), `clipyard-${label}-`));
}

/** The same on the file system of the services' state, for what cannot lie on an overlay: layers of BuildKit. */
export async function temporaryStateDirectory(label: string): Promise<TemporaryDirectory> {
  const parent = join(serviceSetting('CLIPYARD_STATE'), 'tmp');
  await mkdir(parent, { recursive: true });
  return await emptyDirectory(join(parent, `${label}-`));
}

async function emptyDirectory(prefix: string): Promise<TemporaryDirectory> {
  const path = await mkdtemp(prefix);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await rm(path, { recursive: true, force: true });
    },
  };
}
