import { type Cancelable, messageOf } from '../errors/index.ts';
import { collectPacks } from '../indexer/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type PackCacheSettings, packsDirectory } from './pack-cache-settings.ts';

export interface TrimContext extends Cancelable {
  readonly packCache: PackCacheSettings;
  readonly stateDir: string;
  readonly log: Log;
}

/** After a job that added to the cache. What the job was for is done: a cache that cannot be trimmed is worth a warning. */
export async function trimCache({ log, packCache, signal, stateDir }: TrimContext): Promise<void> {
  try {
    await collectPacks(packsDirectory(stateDir), { maxBytes: packCache.maxBytes, signal });
  } catch (thrown) {
    log.warn({ reason: messageOf(thrown) }, 'the pack cache could not be trimmed');
  }
}
