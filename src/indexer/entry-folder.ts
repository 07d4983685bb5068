import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { PACK_FOLDERS } from './pack-entry.ts';

/** An entry of a cache: a folder that appears by one rename, is never changed and leaves by one rename. */
export interface EntryPlace {
  /** Of the cache. */
  readonly root: string;
  readonly folder: 'packs' | 'archives';
  readonly name: string;
}

export function entryPath({ folder, name, root }: EntryPlace): string {
  return join(root, folder, name);
}

/** A name for a file or folder that is being made, on the cache's file system. */
export async function temporaryEntry(root: string): Promise<string> {
  const directory = join(root, PACK_FOLDERS.temporary);
  await makeDirectory(directory);
  return join(directory, `${process.pid}-${randomUUID()}`);
}

/** Gives a finished folder its name; where an entry stands already it stays if it is whole, and makes room if a crash left it broken. */
export async function publishEntry(staged: string, place: EntryPlace, isWhole: () => Promise<boolean>): Promise<void> {
  await makeDirectory(join(place.root, place.folder));
  for (;;) {
    try {
      await rename(staged, entryPath(place));
      return;
    } catch (thrown) {
      if (systemCodeOf(thrown) !== 'ENOTEMPTY' && systemCodeOf(thrown) !== 'EEXIST') throw thrown;
      if (await isWhole()) break;
      await removeEntry(place);
    }
  }
  await rm(staged, { recursive: true, force: true });
}

/** Takes an entry away whole: a reader sees all of it or nothing. Nothing happens when it is not there. */
export async function removeEntry(place: EntryPlace): Promise<void> {
  const aside = `${await temporaryEntry(place.root)}.d`;
  try {
    await rename(entryPath(place), aside);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return;
    throw thrown;
  }
  await rm(aside, { recursive: true, force: true });
}
