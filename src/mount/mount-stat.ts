import type { StatResponse } from '../gen/clipyard/mount/v1/mount.ts';

/** What a mount did so far, as the daemon counts it. `fetchedBytes` are compressed bytes from the registry. */
export interface MountStat {
  readonly wantedBytes: number;
  readonly fetchedBytes: number;
  readonly requests: number;
  readonly retries: number;
  readonly chunksVerified: number;
  readonly cacheHits: number;
  readonly cacheDamaged: number;
  readonly notKept: number;
  readonly kernelRequests: number;
  readonly failures: readonly { readonly code: string; readonly message: string; readonly count: number }[];
  readonly layers: readonly LayerStat[];
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
  return {
    wantedBytes: Number(message.wantedBytes),
    fetchedBytes: Number(message.fetchedBytes),
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
  };
}
