import { constants, copyFile, mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, messageOf, systemCodeOf } from '../errors/index.ts';
import { removeQuietly } from '../files/index.ts';
import type { Log } from '../telemetry/index.ts';
import {
  ARCHIVE_FILES,
  type ArchiveDocument,
  type ArchiveKey,
  nameOfArchiveKey,
  parseArchiveDocument,
} from './archive-entry.ts';
import { type EntryPlace, entryPath, publishEntry, removeEntry, temporaryEntry } from './entry-folder.ts';
import { fileHolds } from './hash-file.ts';
import type { IndexTool } from './index-tool.ts';
import type { AssembleResult } from './results.ts';

export interface ArchiveCacheOptions extends Cancelable {
  /** Of the pack cache: archives lie beside the packs and share its size. */
  readonly root: string;
  /** The assembler. */
  readonly tool: IndexTool;
  readonly log: Log;
}

/** What a job knows of a key; the cache knows the tool. */
export type ArchiveInputs = Omit<ArchiveKey, 'tool'>;

/**
 * Assembled archives by what they were made of, beside the packs and shared like them: an entry appears by one rename, is never
 * changed and leaves by one rename. What it gives is a copy, so whoever gets the archive may write to it (on file systems that can,
 * the copy shares its blocks), and the copy is proven by its digest. Nothing here fails a job: what goes wrong is a warning and a miss.
 *
 * ```
 * archives/<key>/archive.json, archive
 * ```
 */
export class ArchiveCache {
  readonly #options: ArchiveCacheOptions;
  #grew = false;

  constructor(options: ArchiveCacheOptions) {
    this.#options = options;
  }

  /** Whether an archive was put: then the cache may be too large now. */
  get grew(): boolean {
    return this.#grew;
  }

  /** Copies the archive to `output`, a temporary name of the caller's. undefined, and no file, when there is none that is whole. */
  async get(inputs: ArchiveInputs, output: string): Promise<AssembleResult | undefined> {
    const { log, signal } = this.#options;
    const place = this.#place(this.#keyOf(inputs));
    try {
      const document = await readDocument(place);
      if (document === undefined) return undefined;
      // The copy needs no pin: once the file is open, an entry that is taken away is still read to its end.
      await copyFile(join(entryPath(place), ARCHIVE_FILES.archive), output, COPY);
      if (await fileHolds(output, document.result, { signal })) {
        await touch(place);
        return document.result;
      }
      log.warn({ key: place.name }, 'a cached archive was damaged; it is made again');
      await removeEntry(place);
    } catch (thrown) {
      if (!signal.aborted && systemCodeOf(thrown) !== 'ENOENT')
        log.warn({ key: place.name, reason: messageOf(thrown) }, 'a cached archive could not be used');
    }
    await removeQuietly(output);
    signal.throwIfAborted();
    return undefined;
  }

  /** Keeps a copy of a finished archive. */
  async put(inputs: ArchiveInputs, result: AssembleResult, archive: string): Promise<void> {
    const { log, signal, tool } = this.#options;
    if (!(await tool.isCurrent())) return; // another executable may have made this one
    const key = this.#keyOf(inputs);
    const place = this.#place(key);
    try {
      await this.#publish(place, { version: 1, key: { ...key, layers: [...key.layers] }, result }, archive);
      this.#grew = true;
    } catch (thrown) {
      signal.throwIfAborted();
      log.warn({ key: place.name, reason: messageOf(thrown) }, 'the archive could not be cached');
    }
  }

  async #publish(place: EntryPlace, document: ArchiveDocument, archive: string): Promise<void> {
    const staged = `${await temporaryEntry(place.root)}.d`;
    try {
      await mkdir(staged);
      await copyFile(archive, join(staged, ARCHIVE_FILES.archive), COPY);
      await writeFile(join(staged, ARCHIVE_FILES.document), `${JSON.stringify(document)}\n`);
      await publishEntry(staged, place, () => isWhole(place));
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
  }

  #keyOf(inputs: ArchiveInputs): ArchiveKey {
    return { ...inputs, tool: this.#options.tool.digest };
  }

  #place(key: ArchiveKey): EntryPlace {
    return { root: this.#options.root, folder: 'archives', name: nameOfArchiveKey(key) };
  }
}

/** Blocks are shared where the file system can. */
const COPY = constants.COPYFILE_FICLONE;

async function readDocument(place: EntryPlace): Promise<ArchiveDocument | undefined> {
  return parseArchiveDocument(await readFile(join(entryPath(place), ARCHIVE_FILES.document), 'utf8'), place.name);
}

/** As far as names and sizes tell; a byte that is wrong shows at the next use. */
async function isWhole(place: EntryPlace): Promise<boolean> {
  try {
    const document = await readDocument(place);
    const { size } = await stat(join(entryPath(place), ARCHIVE_FILES.archive));
    return size === document?.result.sizeBytes;
  } catch {
    return false;
  }
}

/** gc removes the longest unused first. */
async function touch(place: EntryPlace): Promise<void> {
  const now = new Date();
  await utimes(join(entryPath(place), ARCHIVE_FILES.document), now, now).catch(() => undefined); // it may be gone by now
}
