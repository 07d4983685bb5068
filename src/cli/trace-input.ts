import { readFile, stat } from 'node:fs/promises';
import { toWorkerError, WorkerError } from '../errors/index.ts';
import { type ArchiveListing, readArchiveListing } from '../jobs/index.ts';
import { formatPlatform, localPlatform } from '../oci/index.ts';
import { MAX_TRACE_BYTES } from '../trace/index.ts';
import type { CommandContext } from './context.ts';
import { objectStore } from './services.ts';

/** Where the list of files is read from. */
export interface ListingFlags {
  readonly store?: string;
  readonly platform?: string;
}

/** The files and layers of an archive: a file, `s3://bucket/key` or WORKSPACE/IMAGE. */
export async function listingOf(
  name: string,
  { platform, store }: ListingFlags,
  context: CommandContext,
): Promise<ArchiveListing> {
  return await readArchiveListing(name, {
    signal: context.signal,
    openStore: (url) => objectStore(context, url ?? store),
    platform: platform ?? formatPlatform(localPlatform()),
  });
}

/** The text of a trace or profile. Throws PATH_NOT_FOUND, TRACE_INVALID for one that is too long. */
export async function readTraceFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_TRACE_BYTES)
      throw new WorkerError('TRACE_INVALID', `${path}: ${size} bytes are too many for a trace`);
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw toWorkerError(thrown, `read ${path}`);
  }
}
