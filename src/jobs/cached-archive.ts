import { access, readFile, rm, utimes } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../errors/index.ts';
import { makeDirectory, writeFileAtomically } from '../files/index.ts';

/** An archive of this name has its plain layer beside it, in a file that ends with `.tar`. */
const ARCHIVE_END = '.clip';
/** What says that a file is not what it was when it was written. */
const DAMAGE = new Set(['ARCHIVE_CORRUPT', 'ARCHIVE_TRUNCATED', 'ARCHIVE_NOT_CLIP', 'BLOB_MISMATCH']);

/** Where archives are kept that were fetched or made for mounting (docs/formats/cache.md, "Archives"). */
export function archivesDirectory(cacheDir: string): string {
  return join(cacheDir, 'archives');
}

/** The same, made where it is missing. Throws FILESYSTEM_READ_ONLY. */
export async function makeArchivesDirectory(cacheDir: string): Promise<string> {
  const directory = archivesDirectory(cacheDir);
  try {
    await makeDirectory(directory);
  } catch (thrown) {
    throw toWorkerError(thrown, `make ${directory}`);
  }
  return directory;
}

/** Whether a file of the cache is there. It counts as used now, and nobody evicts it before it is handed to the daemon. */
export async function takeCached(path: string): Promise<boolean> {
  const now = new Date();
  try {
    await utimes(path, now, now);
    return true;
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return false;
  }
  return await access(path).then(
    () => true,
    () => false,
  );
}

/**
 * After `thrown` said that something is damaged: removes the archive at `path`, and the layer beside it, when the cache holds it. True
 * when it did: it is fetched or made again by who asks again.
 */
export async function dropDamaged(path: string, cacheDir: string, thrown: unknown): Promise<boolean> {
  const isDamage = thrown instanceof WorkerError && DAMAGE.has(thrown.code);
  if (!isDamage || dirname(resolve(path)) !== resolve(archivesDirectory(cacheDir))) return false;
  try {
    await rm(path);
    if (path.endsWith(ARCHIVE_END)) await rm(`${path.slice(0, -ARCHIVE_END.length)}.tar`, { force: true });
  } catch (failed) {
    if (systemCodeOf(failed) !== 'ENOENT') throw toWorkerError(failed, `remove ${path}`);
  }
  return true;
}

/**
 * Notes that an archive which was fetched whole is needed no more: `complete` has all of it. What was fetched goes, so that its bytes
 * do not lie in the cache twice.
 */
export async function replaceByComplete(path: string, complete: string, options: Cancelable): Promise<void> {
  await writeFileAtomically(linkOf(path), basename(complete), options);
  await rm(path, { force: true });
}

/** What `replaceByComplete` put in an archive's place, while it is there. */
export async function completeInPlaceOf(path: string): Promise<string | undefined> {
  const name = await readFile(linkOf(path), 'utf8').catch(() => undefined);
  if (name === undefined) return undefined;
  const complete = join(dirname(path), basename(name));
  return (await takeCached(complete)) ? complete : undefined;
}

function linkOf(path: string): string {
  return `${path.slice(0, -ARCHIVE_END.length)}.link`;
}
