import { readFile, stat } from 'node:fs/promises';
import { toWorkerError, WorkerError } from '../errors/index.ts';
import { MAX_TRACE_BYTES } from '../trace/index.ts';

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
