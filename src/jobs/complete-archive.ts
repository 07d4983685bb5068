import { createHash, randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Archive, fileSource, type OciStorage, openArchive } from '../archive/index.ts';
import type { Digest } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';
import { removeQuietly, syncFile } from '../files/index.ts';
import { DEFAULT_CHUNK_BYTES } from '../indexer/index.ts';
import { localPlatform } from '../oci/index.ts';
import { formatReference, parseReference, type Reference, type Repository } from '../registry/index.ts';
import { makeArchivesDirectory, takeCached } from './cached-archive.ts';
import { type CompleteV1Options, completeV1 } from './complete-v1.ts';
import { makeArchive } from './index-image.ts';

export interface CompleteOptions extends CompleteV1Options {
  /** Where the blobs are now, when not where the archive says. */
  readonly blobsAt: Repository | undefined;
}

/**
 * Makes what an archive lacks to be mounted: one of the portable engine has no metadata image, one of another CLIP writer no
 * sections at all. What they leave out of their node lists (extended attributes, holes, special modes) is in the layers alone, so
 * the layers are fetched once, each proven by its digest, and indexed; what came of it is kept in the cache directory. The
 * archive's path, its own when it lacks nothing; `completeV1` says what becomes of a V1 archive. Throws ARCHIVE_MISMATCH when the
 * layers give another image than the archive lists, and what indexing throws.
 */
export async function completeArchive(path: string, options: CompleteOptions): Promise<string> {
  await using source = await fileSource(path);
  const archive = await openArchive(source, options);
  if (archive.footer?.sections.some(({ name }) => name === 'erofs') === true) return path;
  const storage = await archive.storage(options);
  if (storage.type !== 'oci') return await completeV1({ archive, source, path }, options);
  const { blobs, named } = await placesOf(storage, options);
  const chunkBytes = await chunkBytesOf(archive, options);
  const output = await pathOf([formatReference(blobs), formatReference(named), String(chunkBytes)], options);
  if (await takeCached(output)) return output;
  options.log.warn(
    { archive: path, reason: archive.footer === undefined ? 'no sections' : 'no metadata image' },
    'the archive does not say all that a mount needs: its layers are fetched once and indexed',
  );
  const temporary = `${output}.${randomUUID()}.tmp`; // it gets its name when it is proven
  try {
    await indexAgain(blobs, named, chunkBytes, temporary, options);
    await requireSameImage(archive, storage, temporary, options);
    await syncFile(temporary);
    await rename(temporary, output);
  } finally {
    await removeQuietly(temporary);
  }
  return output;
}

async function indexAgain(
  blobs: Reference,
  storage: Reference,
  chunkBytes: number,
  output: string,
  options: CompleteOptions,
): Promise<void> {
  const request = {
    source: { kind: 'docker', reference: blobs },
    storage,
    output,
    platform: localPlatform(),
    platformAsked: false,
    engine: 'native',
    jobs: options.jobs,
    chunkBytes,
    useCache: true,
    format: 'clipyard',
  } as const;
  await makeArchive(request, options);
}

/**
 * The layers must be those that the archive names. The portable engine lists files as the native one does, to the byte: another
 * list is another image. Other writers list less.
 */
async function requireSameImage(
  archive: Archive,
  { layers }: OciStorage,
  output: string,
  options: CompleteOptions,
): Promise<void> {
  await using source = await fileSource(output);
  const made = await openArchive(source, options);
  const storage = await made.storage(options);
  requireSame('the layers', layers, storage.type === 'oci' ? storage.layers : []);
  if (archive.footer !== undefined)
    requireSame('the lists of files', [archive.footer.clipDigest], [made.footer?.clipDigest ?? '']);
}

/** The image's manifest, pinned where the blobs are; and the name that the archive goes by. */
async function placesOf(
  { metadata, reference }: OciStorage,
  { blobsAt, client, signal }: CompleteOptions,
): Promise<{ readonly blobs: Reference & { readonly digest: Digest }; readonly named: Reference }> {
  const { registry, repository } = blobsAt ?? reference;
  const found = reference.digest ?? (await client.resolve({ ...reference, registry, repository }, { signal })).digest;
  const named = nameOf(metadata?.name);
  const isOwn = named?.registry === reference.registry && named.repository === reference.repository;
  const pinned = { registry: reference.registry, repository: reference.repository, digest: found };
  return { blobs: { registry, repository, digest: found }, named: isOwn ? named : pinned };
}

/** Names of other writers may be anything. */
function nameOf(text = ''): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

async function chunkBytesOf(archive: Archive, options: CompleteOptions): Promise<number> {
  if (archive.footer === undefined) return DEFAULT_CHUNK_BYTES;
  return (await archive.layers(options))[0]?.chunkBytes ?? DEFAULT_CHUNK_BYTES;
}

function requireSame(what: string, expected: readonly string[], actual: readonly string[]): void {
  if (expected.join() === actual.join()) return;
  throw new WorkerError('ARCHIVE_MISMATCH', `${what} of the archive and of its image are not the same`, {
    expected: expected.join(),
    actual: actual.join(),
  });
}

async function pathOf(parts: readonly string[], { cacheDir }: CompleteOptions): Promise<string> {
  const directory = await makeArchivesDirectory(cacheDir);
  const name = createHash('sha256')
    .update(['complete', ...parts].join('\n'))
    .digest('hex');
  return join(directory, `${name}.clip`);
}
