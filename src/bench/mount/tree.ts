import type { Cancelable } from '../../errors/index.ts';
import type { Operation } from './operations.ts';

/** Where one mount may write, and the registry it reads from. The folder is its own: nothing of a mount before is in it. */
export interface MountPlace extends Cancelable {
  readonly directory: string;
  /** `host:port`, straight or by way of the proxy that counts and shapes. */
  readonly registry: string;
}

/** An image as a tree of files; disposing of it unmounts. */
export interface OpenTree extends AsyncDisposable {
  readonly root: string;
  /** From the command to a tree that can be read, start of programs included. */
  readonly seconds: number;
  /** What the serving process itself counts of it: opening the archive and mounting. */
  readonly servedSeconds: number | undefined;
  /** When that began, as `performance.now()`; undefined where nobody counts it. */
  readonly servedFromMs: number | undefined;
  /** Who serves the tree; undefined where the kernel does without a process. */
  readonly pid: number | undefined;
  /** What the serving process did so far; absent where it does not say. */
  served?(): Promise<Served>;
}

/** Counters of a mount, since it is there. */
export interface Served {
  /** What the kernel asked the serving process for. */
  readonly kernelRequests: number;
  /** Requests to the registry that gave data. */
  readonly requests: number;
  /** Reads that waited for the registry, and for how long in all. */
  readonly waits: number;
  readonly waitedSeconds: number;
}

/** The image that all mount. */
export interface PushedImage {
  readonly repository: string;
  readonly tag: string;
}

/** One way of making an image's files readable. */
export interface MountContender {
  readonly id: string;
  /** A line for people: what runs. */
  readonly title: string;
  /** Why it cannot run here, and what to do about it. */
  readonly unavailable?: string | undefined;
  /** Opened for each operation anew, with nothing cached; else once a round, as unpacking all would cost more than it shows. */
  readonly opensForEach: boolean;
  /** Whether it is measured by an operation; absent: by all. */
  takes?(operation: Operation): boolean;
  /** Makes what it opens for the operations, in no time that is measured. */
  prepare?(place: MountPlace, operations: readonly Operation[]): Promise<void>;
  open(place: MountPlace, operations: readonly Operation[]): Promise<OpenTree>;
}

export function needsRoot(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'only root may mount this: run the benchmark as root';
}
