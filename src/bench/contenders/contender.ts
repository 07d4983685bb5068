import type { Cancelable } from '../../errors/index.ts';
import type { Usage } from '../measure/run-measured.ts';

/** Where one run may write, and the registry it speaks to. Both are its own. */
export interface Place extends Cancelable {
  readonly directory: string;
  /** `host:port` of the registry, straight or by way of the proxy that counts and shapes. */
  readonly registry: string;
}

export type PhaseName = 'build' | 'push' | 'index' | 'upload';

/** What a run took and made. */
export interface Outcome extends Usage {
  /** Seconds; phases may overlap, so that their sum is more than the whole. */
  readonly phases?: Readonly<Partial<Record<PhaseName, number>>>;
  readonly archivePath?: string;
  readonly archiveBytes?: number;
  /** Of the compressed layers that were made or pushed. */
  readonly blobBytes?: number;
}

/** One way of doing the work that all do. */
export interface Contender {
  readonly id: string;
  /** A line for people: what runs. */
  readonly title: string;
  /** Why it cannot run here, and what to do about it. */
  readonly unavailable?: string | undefined;
  run(place: Place): Promise<Outcome>;
}
