import { readFile, stat } from 'node:fs/promises';
import { toWorkerError, WorkerError } from '../errors/index.ts';
import { type ArchiveListing, readArchiveListing } from '../jobs/index.ts';
import { MAX_TRACE_BYTES } from '../trace/index.ts';
import type { CommandContext } from './context.ts';
import { type ListingFlags, namedArchiveContext } from './named-archive.ts';

/** The files and layers of an archive: a file, `s3://bucket/key`, `docker://REF` or WORKSPACE/IMAGE. */
export async function listingOf(name: string, flags: ListingFlags, context: CommandContext): Promise<ArchiveListing> {
  return await readArchiveListing(name, namedArchiveContext(flags, context));
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
