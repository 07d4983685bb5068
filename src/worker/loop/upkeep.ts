import type { BuildkitClient } from '../../buildkit/index.ts';
import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import { collectLandings, reapBuilds } from '../../jobs/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { BuildQueue } from '../../queue/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { sweepUploads } from '../intake/sweep-uploads.ts';

export interface UpkeepOptions {
  readonly stateDir: string;
  readonly queue: BuildQueue;
  readonly buildkit: BuildkitClient;
  readonly client: Pick<RegistryClient, 'dropUpload'>;
  readonly store: ObjectStore;
  /** Uploaded contexts that no build waits for. */
  readonly keepUploadsMs: number;
  /** Landing layouts together. */
  readonly landingBytes: number;
  /** BuildKit's cache; undefined: the daemon's own policy alone. */
  readonly buildkitKeepBytes: number | undefined;
  readonly buildkitKeepMs: number;
  /** Builds that ended longer ago are forgotten. */
  readonly keepBuildsMs: number;
  readonly onPruned: (bytes: number) => void;
  readonly log: Log;
  readonly now: () => number;
}

/** Longer than any write of an object takes. */
const UNFINISHED_MS = 24 * 3_600_000;

/** Clears away what builds left that nobody needs. What fails is told, and the rest is done all the same. */
export async function keepUp(options: UpkeepOptions, { signal }: Cancelable): Promise<void> {
  const {
    buildkit,
    buildkitKeepBytes,
    buildkitKeepMs,
    client,
    keepBuildsMs,
    keepUploadsMs,
    landingBytes,
    log,
    now,
    queue,
    stateDir,
    store,
  } = options;
  const chores: Readonly<Record<string, () => Promise<void>>> = {
    'files of killed builds': async () => {
      const reaped = await reapBuilds(stateDir, { client, signal });
      if (reaped > 0) log.info({ reaped }, 'files of killed builds are gone');
    },
    'landing layouts': async () => {
      const bounds = { maxBytes: landingBytes, olderThanMs: keepBuildsMs };
      const { freedBytes } = await collectLandings(stateDir, { ...bounds, signal });
      if (freedBytes > 0) log.info({ freedBytes }, 'landing layouts were emptied');
    },
    "BuildKit's cache": async () => {
      if (buildkitKeepBytes === undefined) return;
      const freedBytes = await buildkit.prune({ keepBytes: buildkitKeepBytes, keepMs: buildkitKeepMs }, { signal });
      options.onPruned(freedBytes);
      if (freedBytes > 0) log.info({ freedBytes }, "BuildKit's cache was pruned");
    },
    'uploaded contexts': async () => {
      const removed = await sweepUploads({ keepUploadsMs, now, queue, store, signal });
      if (removed > 0) log.info({ removed }, 'old contexts are gone');
    },
    'unfinished writes to the store': async () => {
      const dropped = await store.dropUnfinished(now() - UNFINISHED_MS, { signal }).catch((thrown: unknown) => {
        // Stores may have no such list, or not for everybody: then it is a lifecycle rule's work.
        if (!(thrown instanceof WorkerError) || thrown.retryable) throw thrown;
        log.debug({ code: thrown.code, reason: thrown.message }, 'unfinished writes cannot be looked at');
        return 0;
      });
      if (dropped > 0) log.info({ dropped }, 'unfinished writes to the store are gone');
    },
    'old builds': async () => {
      const forgotten = await queue.forget(now() - keepBuildsMs, { signal });
      if (forgotten > 0) log.info({ forgotten }, 'old builds are forgotten');
    },
  };
  for (const [name, chore] of Object.entries(chores)) {
    signal.throwIfAborted();
    try {
      await chore();
    } catch (thrown) {
      signal.throwIfAborted();
      log.warn({ chore: name, reason: messageOf(thrown) }, 'upkeep failed');
    }
  }
}
