import type { Log } from '../telemetry/index.ts';
import type { Builds, WorkerConfig, WorkerControl, WorkerMetrics } from '../worker/index.ts';

/** The API of a worker: what stands before its builds and its control. */
export interface WorkerEdge extends AsyncDisposable {
  /** False: health says so, and calls that bring work are refused. */
  setReady(ready: boolean): void;
}

/** What an API is put before. */
export interface EdgeParts {
  /** undefined: no API was asked for by name. */
  readonly listen: string | undefined;
  /** With certificates and the file of tokens. */
  readonly config: WorkerConfig;
  readonly builds: Builds;
  readonly control: WorkerControl;
  readonly metrics: WorkerMetrics;
  readonly log: Log;
}

/** There is no API yet: the worker takes what others put into its queue, and says so to whoever asks for more. */
export function openEdge({ listen, log }: EdgeParts): WorkerEdge {
  if (listen !== undefined) log.warn({ listen }, 'this version serves no API; builds come through the queue');
  return { setReady: () => undefined, [Symbol.asyncDispose]: () => Promise.resolve() };
}
