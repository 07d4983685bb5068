import { join } from 'node:path';
import type { ObjectStore } from '../objects/index.ts';

/** How a job uses pack caches. */
export interface PackCacheSettings {
  /** The local cache is brought below this size after a build that added to it. */
  readonly maxBytes: number;
  /** Asked for what is not in the local cache, and given what was packed. */
  readonly shared: ObjectStore | undefined;
}

/** The local pack cache of a state directory. */
export function packsDirectory(stateDir: string): string {
  return join(stateDir, 'packs');
}
