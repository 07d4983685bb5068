import type { BuildEvent } from '../buildkit/index.ts';
import type { PhaseName } from './phases.ts';

/** What a running job tells: enough to draw progress, to store, and to replay. `timeMs` is wall-clock time. */
export type JobEvent =
  | { readonly type: 'phase'; readonly timeMs: number; readonly phase: PhaseName; readonly state: 'started' | 'ended' }
  | { readonly type: 'buildkit'; readonly timeMs: number; readonly event: BuildEvent }
  | {
      readonly type: 'layer';
      readonly timeMs: number;
      readonly digest: string;
      readonly diffId: string;
      readonly packed: 'new' | 'cached' | 'kept';
      readonly plainBytes: number;
      readonly sizeBytes: number;
    }
  | {
      readonly type: 'packing';
      readonly timeMs: number;
      readonly id: string;
      readonly doneBytes: number;
      readonly totalBytes: number | undefined;
    }
  | {
      readonly type: 'pushing';
      readonly timeMs: number;
      /** Of the blob; of the layer as BuildKit gave it while the blob is still being packed and has no digest. */
      readonly digest: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | {
      readonly type: 'pushed';
      readonly timeMs: number;
      readonly digest: string;
      readonly outcome: 'sent' | 'mounted' | 'present';
      readonly sizeBytes: number;
    }
  | {
      readonly type: 'archive';
      readonly timeMs: number;
      readonly platform: string;
      readonly digest: string;
      readonly sizeBytes: number;
      readonly entries: number;
    }
  | {
      readonly type: 'published';
      readonly timeMs: number;
      readonly what: 'manifest' | 'archive' | 'pointer' | 'tag' | 'record';
      readonly name: string;
    };

type WithoutTime<T> = T extends unknown ? Omit<T, 'timeMs'> : never;

/** An event as its maker gives it; the job stamps the time. */
export type UntimedJobEvent = WithoutTime<JobEvent>;
export type JobReporter = (event: UntimedJobEvent) => void;
