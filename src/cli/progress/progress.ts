import type { Writable } from 'node:stream';
import type { JobReporter } from '../../jobs/index.ts';

/** Draws a job's events on stderr until it is disposed of. */
export interface Progress extends Disposable {
  readonly report: JobReporter;
}

export type ProgressOutput = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
