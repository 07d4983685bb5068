import { randomUUID } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, namesIn } from '../files/index.ts';
import { isAlive } from '../native/index.ts';

/** What has no owner in its name (older versions wrote such) is taken for abandoned then. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;
const KIND = 'index';

/** A folder of one indexing below `<state>/tmp`. Its name carries the process that owns it; folders of dead ones are removed first. */
export async function createScratch(stateDir: string): Promise<string> {
  const parent = join(stateDir, 'tmp');
  await sweep(parent);
  const directory = join(parent, `${KIND}-${process.pid}-${randomUUID()}`);
  await makeDirectory(directory);
  return directory;
}

async function sweep(parent: string): Promise<void> {
  for (const name of await namesIn(parent)) {
    if (!name.startsWith(`${KIND}-`)) continue;
    const path = join(parent, name);
    const owner = /^index-(\d+)-[0-9a-f]{8}-/.exec(name)?.[1];
    const isDead = owner === undefined ? await isAbandoned(path) : !isAlive(Number(owner));
    // Another process may be sweeping too.
    if (isDead) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_MS;
}
