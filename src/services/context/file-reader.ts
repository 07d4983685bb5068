import type { ContextFile } from '../../buildkit/index.ts';
import { WorkerError } from '../../errors/index.ts';

/** Reads files that were listed a moment ago. */
export interface FileReader extends AsyncDisposable {
  /**
   * SHA-256 of each file's bytes, in hex and in this order. A file must still be the one that was listed: inode, size and ctime.
   * Throws CONTEXT_CHANGED, IO_FAILED.
   */
  read(files: readonly ContextFile[]): Promise<readonly string[]>;
}

export function contextChanged({ path }: Pick<ContextFile, 'path'>): WorkerError {
  const name = path.toString();
  return new WorkerError('CONTEXT_CHANGED', `${name} changed while the context was looked at`, { path: name });
}
