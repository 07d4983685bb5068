import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, systemCodeOf, toWorkerError } from '../errors/index.ts';
import { longestUnusedFirst, namesIn } from '../files/index.ts';
import { ARCHIVE_FILES, type ArchiveDocument, parseArchiveDocument } from './archive-entry.ts';
import { fileHolds } from './hash-file.ts';
import { PACK_FOLDERS } from './pack-entry.ts';

/** A cached archive; without `document` it cannot be read. */
export interface ArchiveListing {
  readonly name: string;
  readonly document: ArchiveDocument | undefined;
  readonly sizeBytes: number;
  readonly lastUsedMs: number;
}

/** The archives of a cache, the longest unused first. */
export async function listArchives(root: string): Promise<readonly ArchiveListing[]> {
  const folder = join(root, PACK_FOLDERS.archives);
  const listings: ArchiveListing[] = [];
  for (const name of await namesIn(folder)) {
    const listing = await listingOf(join(folder, name), name);
    if (listing !== undefined) listings.push(listing);
  }
  return longestUnusedFirst(listings);
}

/** Names of the archives that are not what they were when they were put. */
export async function damagedArchives(
  root: string,
  archives: readonly ArchiveListing[],
  { signal }: Cancelable,
): Promise<ReadonlySet<string>> {
  const damaged = new Set<string>();
  for (const { document, name } of archives) {
    const path = join(root, PACK_FOLDERS.archives, name, ARCHIVE_FILES.archive);
    if (document === undefined || !(await fileHolds(path, document.result, { signal }))) damaged.add(name);
  }
  return damaged;
}

/** undefined when another process removed it just now. */
async function listingOf(directory: string, name: string): Promise<ArchiveListing | undefined> {
  try {
    const [text, used, archive] = await Promise.all([
      readFile(join(directory, ARCHIVE_FILES.document), 'utf8'),
      stat(join(directory, ARCHIVE_FILES.document)),
      stat(join(directory, ARCHIVE_FILES.archive)),
    ]);
    return { name, document: parseArchiveDocument(text, name), sizeBytes: archive.size, lastUsedMs: used.mtimeMs };
  } catch (thrown) {
    if (systemCodeOf(thrown) !== 'ENOENT') throw toWorkerError(thrown, `look at ${directory}`);
    const stats = await stat(directory).catch(() => undefined);
    return stats && { name, document: undefined, sizeBytes: 0, lastUsedMs: stats.mtimeMs };
  }
}
