import { WorkerError } from '../../errors/index.ts';
import { jsonProgress } from './json.ts';
import { plainProgress } from './plain.ts';
import type { Progress, ProgressOutput } from './progress.ts';
import { ttyProgress } from './tty.ts';

export type ProgressMode = 'auto' | 'plain' | 'tty' | 'json';

/** `auto` draws on a terminal and prints lines elsewhere. Throws USAGE for a mode it does not know. */
export function createProgress({
  mode,
  stderr,
}: {
  readonly mode: ProgressMode;
  readonly stderr: ProgressOutput;
}): Progress {
  switch (mode) {
    case 'json':
      return jsonProgress(stderr);
    case 'plain':
      return plainProgress(stderr);
    case 'tty':
      return ttyProgress(stderr);
    case 'auto':
      return stderr.isTTY === true ? ttyProgress(stderr) : plainProgress(stderr);
    default:
      throw new WorkerError('USAGE', `--progress ${String(mode)}: one of auto, plain, tty is needed`);
  }
}
