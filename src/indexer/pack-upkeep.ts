import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfHex, hexOf, isDigest } from '../digest/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError } from '../errors/index.ts';
import { filesIn, longestUnusedFirst, type NamedFile } from '../files/index.ts';
import { type ArchiveListing, damagedArchives, listArchives } from './archive-upkeep.ts';
import { removeEntry } from './entry-folder.ts';
import { fileHolds } from './hash-file.ts';
import { PACK_FILES, PACK_FOLDERS, type PackDocument, parsePackDocument } from './pack-entry.ts';

/** Files that another process may be about to name are left alone for this long; no pack of one layer takes longer. */
const GRACE_MS = 60 * 60 * 1000;

/** An entry of the cache; without `document` it cannot be read. */
export interface PackListing {
  readonly name: string;
  readonly document: PackDocument | undefined;
  readonly indexBytes: number;
  /** undefined when there is no blob of that size here. */
  readonly blobBytes: number | undefined;
  readonly lastUsedMs: number;
}

/** The entries of a cache, the longest unused first. A cache that was never used is empty. */
export async function listPacks(root: string): Promise<readonly PackListing[]> {
  const names = await filesIn(join(root, PACK_FOLDERS.entries));
  const listings: PackListing[] = [];
  for (const { name } of names) {
    const listing = await listingOf(root, name);
    if (listing !== undefined) listings.push(listing);
  }
  return longestUnusedFirst(listings);
}

export interface PackGarbage {
  /** Entries that go, or with `dryRun` would. */
  readonly entries: readonly string[];
  readonly archives: readonly string[];
  readonly blobs: readonly string[];
  readonly temporaryFiles: number;
  readonly freedBytes: number;
  readonly keptBytes: number;
}

/**
 * Makes the cache no larger than `maxBytes`: first the archives and the blobs of entries that were unused for longest go (an index is
 * a hundredth of its blob, still serves while the registry has it, and gives the archive again), then those entries. Broken entries
 * and what killed packs left behind go in any case. Needs no lock: others see an entry whole or not at all, and running jobs have what they use pinned.
 */
export async function collectPacks(
  root: string,
  { dryRun = false, maxBytes, signal }: Cancelable & { readonly maxBytes: number; readonly dryRun?: boolean },
): Promise<PackGarbage> {
  const listings = await listPacks(root);
  const archives = await listArchives(root);
  const plan = planGarbage({ listings, archives, blobs: await filesIn(join(root, PACK_FOLDERS.blobs)) }, maxBytes);
  const stale = (await filesIn(join(root, PACK_FOLDERS.temporary))).filter(isStale);
  if (!dryRun) {
    for (const name of plan.entries) {
      signal.throwIfAborted();
      await removeEntry({ root, folder: PACK_FOLDERS.entries, name });
    }
    for (const name of plan.archives) await removeEntry({ root, folder: PACK_FOLDERS.archives, name });
    for (const name of plan.blobs) await rm(join(root, PACK_FOLDERS.blobs, name), { force: true });
    for (const { name } of stale) await rm(join(root, PACK_FOLDERS.temporary, name), { recursive: true, force: true });
  }
  return { ...plan, temporaryFiles: stale.length };
}

/** What a cache holds. */
export interface PackContents {
  readonly listings: readonly PackListing[];
  readonly archives: readonly ArchiveListing[];
  readonly blobs: readonly NamedFile[];
}

/** Pure: which entries, archives and blobs go. Blobs that more than one entry describes go with the first of them. */
export function planGarbage(
  { archives, blobs, listings }: PackContents,
  maxBytes: number,
): Omit<PackGarbage, 'temporaryFiles'> {
  const broken = listings.filter(({ document }) => document === undefined);
  const whole = listings.filter(({ document }) => document !== undefined);
  const sizes = new Map(blobs.map(({ name, sizeBytes }) => [name, sizeBytes]));
  const described = new Set(whole.flatMap(blobNamesOf));
  const removedBlobs = new Set(
    blobs.filter((file) => !described.has(file.name) && isStale(file)).map(({ name }) => name),
  );
  const removedEntries = new Set(broken.map(({ name }) => name));
  const brokenArchives = archives.filter(({ document }) => document === undefined);
  const removedArchives = new Set(brokenArchives.map(({ name }) => name));
  const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, next) => total + next, 0);
  const indexSizes = (of: readonly PackListing[]) => sum(of.map(({ indexBytes }) => indexBytes));
  const archiveSizes = (of: readonly ArchiveListing[]) => sum(of.map(({ sizeBytes }) => sizeBytes));
  const totalBytes = sum(sizes.values()) + indexSizes(listings) + archiveSizes(archives);
  let keptBytes =
    totalBytes -
    sum([...removedBlobs].map((name) => sizes.get(name) ?? 0)) -
    indexSizes(broken) -
    archiveSizes(brokenArchives);
  const replaceable = [
    ...archives.map(({ lastUsedMs, name, sizeBytes }) => ({ lastUsedMs, name, sizeBytes, removed: removedArchives })),
    ...whole.flatMap((listing) =>
      blobNamesOf(listing).map((name) => {
        return { lastUsedMs: listing.lastUsedMs, name, sizeBytes: sizes.get(name) ?? 0, removed: removedBlobs };
      }),
    ),
  ].toSorted((a, b) => a.lastUsedMs - b.lastUsedMs);
  for (const { name, removed, sizeBytes } of replaceable) {
    if (keptBytes <= maxBytes) break;
    if (removed.has(name) || sizeBytes === 0) continue;
    removed.add(name);
    keptBytes -= sizeBytes;
  }
  for (const { indexBytes, name } of whole) {
    if (keptBytes <= maxBytes) break;
    removedEntries.add(name);
    keptBytes -= indexBytes;
  }
  return {
    entries: [...removedEntries],
    archives: [...removedArchives],
    blobs: [...removedBlobs],
    freedBytes: totalBytes - keptBytes,
    keptBytes,
  };
}

export interface PackDamage {
  readonly name: string;
  readonly part: 'entry' | 'index' | 'archive' | 'blob';
}

export interface PackReport {
  readonly entries: number;
  readonly archives: number;
  readonly blobs: number;
  /** Read and proven. */
  readonly bytes: number;
  readonly damaged: readonly PackDamage[];
}

/** Reads every index, archive and blob and proves its digest. With `drop` what is damaged goes; it is made again when needed. */
export async function verifyPacks(
  root: string,
  { drop = false, signal }: Cancelable & { readonly drop?: boolean },
): Promise<PackReport> {
  const damaged: PackDamage[] = [];
  const listings = await listPacks(root);
  let bytes = 0;
  for (const { document, indexBytes, name } of listings) {
    const path = join(root, PACK_FOLDERS.entries, name, PACK_FILES.index);
    if (document === undefined) damaged.push({ name, part: 'entry' });
    else if (await fileHolds(path, document.index, { signal })) bytes += indexBytes;
    else damaged.push({ name, part: 'index' });
  }
  const archives = await listArchives(root);
  const damagedNames = await damagedArchives(root, archives, { signal });
  for (const { name, sizeBytes } of archives) {
    if (damagedNames.has(name)) damaged.push({ name, part: 'archive' });
    else bytes += sizeBytes;
  }
  const blobs = await filesIn(join(root, PACK_FOLDERS.blobs));
  for (const { name, sizeBytes } of blobs) {
    const whole =
      isDigest(`sha256:${name}`) &&
      (await fileHolds(join(root, PACK_FOLDERS.blobs, name), { digest: digestOfHex(name), sizeBytes }, { signal }));
    if (whole) bytes += sizeBytes;
    else damaged.push({ name, part: 'blob' });
  }
  if (drop) {
    for (const { name, part } of damaged) {
      if (part === 'blob') await rm(join(root, PACK_FOLDERS.blobs, name), { force: true });
      else await removeEntry({ root, folder: part === 'archive' ? PACK_FOLDERS.archives : PACK_FOLDERS.entries, name });
    }
  }
  return { entries: listings.length, archives: archives.length, blobs: blobs.length, bytes, damaged };
}

/** undefined when another process removed it just now. */
async function listingOf(root: string, name: string): Promise<PackListing | undefined> {
  const directory = join(root, PACK_FOLDERS.entries, name);
  try {
    const [text, used, index] = await Promise.all([
      readFile(join(directory, PACK_FILES.document), 'utf8'),
      stat(join(directory, PACK_FILES.document)),
      stat(join(directory, PACK_FILES.index)),
    ]);
    const document = parsePackDocument(text, name);
    const blobBytes = document === undefined ? undefined : await blobBytesOf(root, document);
    return { name, document, indexBytes: index.size, blobBytes, lastUsedMs: used.mtimeMs };
  } catch (thrown) {
    if (systemCodeOf(thrown) !== 'ENOENT') throw toWorkerError(thrown, `look at ${directory}`);
    const stats = await stat(directory).catch(() => undefined);
    return stats && { name, document: undefined, indexBytes: 0, blobBytes: undefined, lastUsedMs: stats.mtimeMs };
  }
}

async function blobBytesOf(root: string, { key, layer }: PackDocument): Promise<number | undefined> {
  if (key.action === 'keep') return undefined;
  const size = (await stat(join(root, PACK_FOLDERS.blobs, hexOf(layer.digest))).catch(() => undefined))?.size;
  return size === layer.sizeBytes ? size : undefined;
}

function blobNamesOf({ document }: PackListing): readonly string[] {
  return document === undefined || document.key.action === 'keep' ? [] : [hexOf(document.layer.digest)];
}

function isStale({ ageMs }: NamedFile): boolean {
  return ageMs > GRACE_MS;
}
