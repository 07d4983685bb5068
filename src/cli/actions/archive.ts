import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type Archive,
  type ArchiveDescription,
  byteStringOfText,
  describe,
  fileSource,
  formatRows,
  isMountable,
  listPath,
  nodeTree,
  openArchive,
  openLocalFile,
  resolvePath,
} from '../../archive/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { type VerifyResult, verifyArchive } from '../../indexer/index.ts';
import { type ArchiveSource, catFile, verifyBlobs } from '../../mount/index.ts';
import { mountableArchive } from '../archive-source.ts';
import { blobOrigin } from '../blob-origin.ts';
import type { CommandContext } from '../context.ts';
import { type ListingFlags, namedArchive } from '../named-archive.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';

/** Where `cat` and `verify --deep` read blobs. */
export interface BlobFlags {
  readonly cache?: string;
  readonly storageRef?: string;
  readonly plainHttp?: boolean;
  readonly blobs?: string;
  readonly deep?: boolean;
  readonly store?: string;
  readonly platform?: string;
}

export async function inspect(
  archive: string,
  flags: ListingFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  await using source = await namedArchive(archive, flags, context);
  const description = await describe(await openArchive(source, context), context);
  writeResult(context.stdout, description, json, () => inspection(description));
}

export async function list(
  name: string,
  path: string,
  flags: ListingFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  await using source = await namedArchive(name, flags, context);
  const archive = await openArchive(source, context);
  const rows = listPath(nodeTree(await archive.nodes(context)), byteStringOfText(path));
  writeResult(context.stdout, rows, json, () =>
    formatRows(rows)
      .map((row) => `${row}\n`)
      .join(''),
  );
}

export async function cat(file: string, path: string, flags: BlobFlags, context: CommandContext): Promise<void> {
  if ((await isFile(file)) && (await catLocal(file, path, context))) return;
  await catFile(await sourceOf(file, flags, context), path, 1, context);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** A V1 archive holds the bytes itself. False for any other. */
async function catLocal(file: string, path: string, { signal }: CommandContext): Promise<boolean> {
  await using source = await fileSource(file);
  const archive = await openArchive(source, { signal });
  if (archive.kind !== 'clip-v1') return false;
  const node = resolvePath(nodeTree(await archive.nodes({ signal })), byteStringOfText(path), { followLast: true });
  const bytes = await openLocalFile(source, await archive.storage({ signal }), node, { signal });
  await pipeline(Readable.from(bytes), createWriteStream('', { fd: 1, autoClose: false }), { signal });
  return true;
}

export async function verify(file: string, flags: BlobFlags, json: boolean, context: CommandContext): Promise<void> {
  await using source = await fileSource(file);
  const archive = await openArchive(source, context);
  if (flags.deep === true && archive.kind === 'clip-v1')
    throw new WorkerError('ARCHIVE_NOT_LAZY', 'a V1 archive has no layers: verify without --deep reads all of it');
  await archive.verify(context);
  const offline = await verifyTrees(file, archive, context);
  const deep = flags.deep === true ? await verifyBlobs(await sourceOf(file, flags, context), context) : undefined;
  const proven = deep === undefined ? '' : `; ${deep.layers} layers, ${formatBytes(deep.bytes)} proven`;
  writeResult(
    context.stdout,
    { ok: true, ...offline, ...(deep !== undefined && { deep }) },
    json,
    () => `${file}: ok (${offline.kind}, ${offline.entries} entries${proven})\n`,
  );
}

/** What the native verifier proves as well; without it, and of the portable engine's archives, `Archive.verify` proved all there is. */
async function verifyTrees(file: string, archive: Archive, context: CommandContext): Promise<VerifyResult> {
  if (archive.footer === undefined || isMountable(archive.footer)) return verifyArchive(file, context);
  return { kind: archive.kind, entries: (await archive.nodes(context)).length };
}

async function sourceOf(file: string, flags: BlobFlags, context: CommandContext): Promise<ArchiveSource> {
  const { address, path, storage } = await mountableArchive(file, flags, context);
  const origin = await blobOrigin(storage, flags, context);
  return { archive: path, archiveAddress: address, cacheDir: flags.cache ?? context.settings.cacheDir, origin };
}

function inspection(description: ArchiveDescription): string {
  const { counts, kind, layers, sections, sizeBytes, storageRef } = description;
  const layerRows = layers.map(({ blobBytes, chunks, codec, digest, plainBytes, spans }) => [
    digest.slice(0, 19),
    codec ?? '',
    String(chunks ?? ''),
    String(spans ?? ''),
    formatBytes(plainBytes ?? 0),
    formatBytes(blobBytes ?? 0),
  ]);
  const sectionRows = sections.map(({ digest, name, offset, plainBytes, storedBytes }) => [
    name,
    String(offset),
    formatBytes(storedBytes),
    formatBytes(plainBytes),
    digest.slice(0, 19),
  ]);
  return [
    `${kind} archive, ${formatBytes(sizeBytes)}, ${counts.entries} entries (${counts.files} files, ${counts.directories} folders)\n`,
    ...(storageRef === undefined ? [] : [`blobs at ${storageRef}\n`]),
    formatTable(['layer', 'codec', 'chunks >', 'spans >', 'plain >', 'stored >'], layerRows),
    ...(sections.length === 0
      ? []
      : [formatTable(['section', 'offset >', 'stored >', 'plain >', 'digest'], sectionRows)]),
  ].join('\n');
}
