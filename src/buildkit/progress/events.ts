import type { Digest } from '../../digest/index.ts';

/** How a blob came into the landing layout: it was there, or by one of three ways; `elsewhere`: it stays out, the caller has it. */
export type LandedVia = 'present' | 'elsewhere' | 'link' | 'read' | 'session';

/**
 * What a build tells while it runs. `step` numbers the vertices of BuildKit's graph in the order they appear; it is the
 * `#5` of a printed build.
 */
export type BuildEvent =
  /** A vertex began. It may begin again after it ended (cache keys first, then the run). */
  | { readonly type: 'step-started'; readonly step: number; readonly name: string; readonly isUserStep: boolean }
  | {
      readonly type: 'step-ended';
      readonly step: number;
      readonly name: string;
      readonly isUserStep: boolean;
      readonly outcome: 'done' | 'cached' | 'failed' | 'canceled';
      readonly durationMs: number;
      readonly error: string | undefined;
    }
  /** One line of a step's output, without its end. `atMs` counts from the step's start. */
  | {
      readonly type: 'log';
      readonly step: number;
      readonly stream: 'stdout' | 'stderr';
      readonly text: string;
      readonly atMs: number;
    }
  /** A part of a step, such as one download. The total is unknown for uploads of the context. */
  | {
      readonly type: 'status';
      readonly step: number;
      readonly id: string;
      readonly state: 'running' | 'done';
      readonly current: number;
      readonly total: number | undefined;
    }
  | { readonly type: 'warning'; readonly step: number; readonly text: string; readonly url: string | undefined }
  /** The daemon synchronised one of our trees; files that it had already are not sent. */
  | {
      readonly type: 'context-synced';
      readonly name: string;
      readonly entries: number;
      readonly filesSent: number;
      readonly bytesSent: number;
    }
  /** The steps are done; the image comes over now. */
  | { readonly type: 'export-started' }
  | {
      readonly type: 'blob';
      readonly state: 'started' | 'progress' | 'landed';
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly doneBytes: number;
      /** Known once it landed. */
      readonly via: LandedVia | undefined;
    };

export type BuildListener = (event: BuildEvent) => void;
