import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { designServices } from './design-services.ts';
import { parseServicesFile, SERVICES_FILE_NAME, type ServicesFile } from './services-file.ts';

export interface ServicesFileRequest {
  /** As asked for; default: `clipyard.yaml` in the working folder, and without one the five services beside it. */
  readonly path: string | undefined;
  readonly workingDir: string;
  readonly repo: string | undefined;
}

/** Throws SERVICES_FILE_INVALID, PATH_NOT_FOUND for a file that was asked for. */
export async function readServicesFile({ path, repo, workingDir }: ServicesFileRequest): Promise<ServicesFile> {
  const file = path === undefined ? join(workingDir, SERVICES_FILE_NAME) : resolve(workingDir, path);
  try {
    return parseServicesFile(await readFile(file, 'utf8'), file);
  } catch (thrown) {
    if (systemCodeOf(thrown) !== 'ENOENT') throw toWorkerError(thrown, `read ${file}`);
    if (path !== undefined)
      throw new WorkerError('PATH_NOT_FOUND', `there is no services file ${file}`, { path: file });
    return designServices(workingDir, repo);
  }
}
