import {
  type ArchiveListing,
  collectPacks,
  listArchives,
  listPacks,
  type PackListing,
  verifyPacks,
} from '../../indexer/index.ts';
import { packsDirectory } from '../../jobs/index.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { parseSize } from '../parse-options.ts';

export interface GcFlags {
  readonly maxSize?: string;
  readonly dryRun?: boolean;
}

export interface VerifyFlags {
  readonly drop?: boolean;
}

/** sysexits.h, EX_DATAERR: what category `data_loss` exits with. */
const DAMAGED = 65;

/** `clipyard cache ls`. */
export async function list(json: boolean, { settings, stdout }: CommandContext): Promise<void> {
  const listings = await listPacks(packsDirectory(settings.stateDir));
  const archives = await listArchives(packsDirectory(settings.stateDir));
  const bytes =
    listings.reduce((sum, { blobBytes = 0, indexBytes }) => sum + indexBytes + blobBytes, 0) +
    archives.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  writeResult(
    stdout,
    {
      directory: packsDirectory(settings.stateDir),
      bytes,
      entries: listings.map(entryOf),
      archives: archives.map(archiveOf),
    },
    json,
    () => {
      const table = formatTable(
        ['key', 'source', 'action', 'digest', 'plain >', 'index >', 'blob >', 'last used'],
        listings.map(rowOf),
      );
      const made =
        archives.length === 0
          ? ''
          : formatTable(['archive of', 'image', 'digest', 'size >', 'last used'], archives.map(archiveRowOf));
      return `${table}${made}${listings.length} entries, ${archives.length} archives, ${formatBytes(bytes)}\n`;
    },
  );
}

/** `clipyard cache gc`. */
export async function gc(flags: GcFlags, json: boolean, { settings, signal, stdout }: CommandContext): Promise<void> {
  const maxBytes =
    flags.maxSize === undefined
      ? parseSize(settings.packCacheSize, 'CLIPYARD_PACK_CACHE_SIZE')
      : parseSize(flags.maxSize, '--max-size');
  const dryRun = flags.dryRun ?? false;
  const garbage = await collectPacks(packsDirectory(settings.stateDir), { maxBytes, dryRun, signal });
  const { archives, blobs, entries, freedBytes, keptBytes } = garbage;
  writeResult(
    stdout,
    { dryRun, maxBytes, ...garbage },
    json,
    () =>
      `${dryRun ? 'would remove' : 'removed'} ${entries.length} entries, ${archives.length} archives and ${blobs.length} blobs, ${formatBytes(freedBytes)}; ${formatBytes(keptBytes)} ${dryRun ? 'would stay' : 'stay'}\n`,
  );
}

/** `clipyard cache verify`. */
export async function verify(
  flags: VerifyFlags,
  json: boolean,
  { settings, signal, stdout }: CommandContext,
): Promise<number> {
  const report = await verifyPacks(packsDirectory(settings.stateDir), { drop: flags.drop ?? false, signal });
  const { archives, blobs, bytes, damaged, entries } = report;
  writeResult(stdout, { ok: damaged.length === 0, dropped: flags.drop ?? false, ...report }, json, () =>
    [
      ...damaged.map(
        ({ name, part }) => `${part} of ${name.slice(0, 12)} is damaged${flags.drop === true ? ', dropped' : ''}\n`,
      ),
      `${entries} entries, ${archives} archives and ${blobs} blobs, ${formatBytes(bytes)} proven, ${damaged.length} damaged\n`,
    ].join(''),
  );
  return damaged.length === 0 ? 0 : DAMAGED;
}

function entryOf({ blobBytes, document, indexBytes, lastUsedMs, name }: PackListing) {
  return {
    key: name,
    damaged: document === undefined,
    ...(document !== undefined && { ...document.key, layer: document.layer }),
    indexBytes,
    blobBytes,
    lastUsed: new Date(lastUsedMs).toISOString(),
  };
}

function rowOf({ blobBytes, document, indexBytes, lastUsedMs, name }: PackListing): readonly string[] {
  return [
    name.slice(0, 12),
    document?.key.source.slice(7, 19) ?? 'damaged',
    document?.key.action ?? '',
    document?.layer.digest.slice(7, 19) ?? '',
    document === undefined ? '' : formatBytes(document.layer.plainBytes),
    formatBytes(indexBytes),
    blobBytes === undefined ? '-' : formatBytes(blobBytes),
    new Date(lastUsedMs).toISOString(),
  ];
}

function archiveOf({ document, lastUsedMs, name, sizeBytes }: ArchiveListing) {
  return {
    key: name,
    damaged: document === undefined,
    ...(document !== undefined && { ...document.key, digest: document.result.digest }),
    sizeBytes,
    lastUsed: new Date(lastUsedMs).toISOString(),
  };
}

function archiveRowOf({ document, lastUsedMs, name, sizeBytes }: ArchiveListing): readonly string[] {
  return [
    name.slice(0, 12),
    document?.key.imageName ?? 'damaged',
    document?.result.digest.slice(7, 19) ?? '',
    formatBytes(sizeBytes),
    new Date(lastUsedMs).toISOString(),
  ];
}
