import type { ReplayStat as ReplayMessage, StatResponse } from '../gen/clipyard/mount/v1/mount.ts';

/** What a mount did so far, as the daemon counts it. `fetchedBytes` are compressed bytes from the registry. */
export interface MountStat {
  readonly wantedBytes: number;
  readonly fetchedBytes: number;
  /** Fetched bytes for each that was wanted; none before anything was. */
  readonly amplification?: number;
  readonly requests: number;
  readonly retries: number;
  readonly chunksVerified: number;
  readonly cacheHits: number;
  readonly cacheDamaged: number;
  readonly notKept: number;
  readonly kernelRequests: number;
  readonly failures: readonly { readonly code: string; readonly message: string; readonly count: number }[];
  readonly layers: readonly LayerStat[];
  /** How reads were answered, nearest first: `ready`, `cached`, `coming`, `missing`. */
  readonly tiers: readonly TierStat[];
  /** How long those took that were not ready: behind each bound how many; the last one has none. */
  readonly waits: readonly { readonly upToUs?: number; readonly reads: number }[];
  readonly waitedUs: number;
  /** Of a mount with a profile. */
  readonly replay?: ReplayStat;
}

export interface TierStat {
  readonly tier: string;
  readonly reads: number;
  /** Its hit ratio: what part of all reads it answered, 0 to 1. */
  readonly share: number;
  readonly plainBytes: number;
}

/** What came of a profile. */
export interface ReplayStat {
  /** Of the profile, and of them those that the image has, those fetched ahead, those that were touched. */
  readonly chunks: number;
  readonly mapped: number;
  readonly fetched: number;
  readonly used: number;
  /** Chunks that were touched and are not in the profile. */
  readonly unforeseen: number;
  /** `running`, `done`, `unused` (given up, because other chunks are touched), `ended`. */
  readonly state: string;
}

export interface LayerStat {
  readonly diffId: string;
  readonly digest: string;
  /** `lazy`, `whole`, `complete` or `local`. */
  readonly mode: string;
  /** Why it is not lazy. */
  readonly reason?: string;
  readonly plainBytes: number;
  readonly fetchedBytes: number;
  readonly chunks: number;
  readonly proven: number;
  /** Mounts of the node that have the layer. */
  readonly mounts: number;
}

/** From the message; its counters stay far below 2^53. */
export function mountStat(message: StatResponse): MountStat {
  const [wantedBytes, fetchedBytes] = [Number(message.wantedBytes), Number(message.fetchedBytes)];
  const allReads = message.tiers.reduce((sum, { reads }) => sum + Number(reads), 0);
  return {
    wantedBytes,
    fetchedBytes,
    ...(wantedBytes > 0 && { amplification: fetchedBytes / wantedBytes }),
    requests: Number(message.requests),
    retries: Number(message.retries),
    chunksVerified: Number(message.chunksVerified),
    cacheHits: Number(message.cacheHits),
    cacheDamaged: Number(message.cacheDamaged),
    notKept: Number(message.notKept),
    kernelRequests: Number(message.kernelRequests),
    failures: message.failures.map(({ code, count, message: text }) => ({ code, message: text, count: Number(count) })),
    layers: message.layers.map(({ reason, ...layer }) => ({
      diffId: layer.diffId,
      digest: layer.digest,
      mode: layer.mode,
      ...(reason !== undefined && { reason }),
      plainBytes: Number(layer.plainBytes),
      fetchedBytes: Number(layer.fetchedBytes),
      chunks: Number(layer.chunks),
      proven: Number(layer.proven),
      mounts: layer.mounts,
    })),
    tiers: message.tiers.map(({ plainBytes, reads, tier }) => ({
      tier,
      reads: Number(reads),
      share: Number(reads) / Math.max(1, allReads),
      plainBytes: Number(plainBytes),
    })),
    waits: message.waits.map(({ reads, upToUs }) => ({
      ...(upToUs !== undefined && { upToUs: Number(upToUs) }),
      reads: Number(reads),
    })),
    waitedUs: Number(message.waitedUs),
    ...(message.replay !== undefined && { replay: replayStat(message.replay) }),
  };
}

function replayStat({ chunks, fetched, mapped, state, unforeseen, used }: ReplayMessage): ReplayStat {
  return {
    chunks: Number(chunks),
    mapped: Number(mapped),
    fetched: Number(fetched),
    used: Number(used),
    unforeseen: Number(unforeseen),
    state,
  };
}
