import type { Cancelable } from '../../errors/index.ts';

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
  /** Who serves the tree; undefined where the kernel does without a process. */
  readonly pid: number | undefined;
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
  /** Makes what it opens, in no time that is measured. */
  prepare?(place: MountPlace): Promise<void>;
  open(place: MountPlace): Promise<OpenTree>;
}

export function needsRoot(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'only root may mount this: run the benchmark as root';
}
