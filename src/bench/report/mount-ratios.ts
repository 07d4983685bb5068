import { z } from 'zod';
import type { MountResult } from './mount-result.ts';

/** Of this contender's seconds or bytes to a peer's: below 1 it takes less. Absent where the peer has nothing of the kind. */
export const OperationRatios = z.object({
  cold: z.number().optional(),
  warm: z.number().optional(),
  fromNothing: z.number().optional(),
  received: z.number().optional(),
});

export const MountRatios = z.object({
  /** Until mounted, of it serving, and the memory just after that. */
  seconds: z.number().optional(),
  served: z.number().optional(),
  mountedBytes: z.number().optional(),
  operations: z.record(z.string(), OperationRatios),
});
export type MountRatios = z.infer<typeof MountRatios>;

/** Peers that others are compared with: what lazy mounts replace, and the lazy mount before. */
export const MOUNT_PEERS = ['overlayfs', 'clip'] as const;

/** A result's ratios to each peer that ran; none to itself. */
export function mountRatios(
  { id, mount }: { readonly id: string; readonly mount: MountResult },
  all: readonly { readonly id: string; readonly mount: MountResult }[],
): Readonly<Record<string, MountRatios>> {
  const peers = all.filter((peer) => peer.id !== id && MOUNT_PEERS.some((name) => name === peer.id));
  return Object.fromEntries(peers.map((peer) => [peer.id, ratiosTo(mount, peer.mount)]));
}

function ratiosTo(mount: MountResult, peer: MountResult): MountRatios {
  const operations = mount.operations.flatMap((operation) => {
    const other = peer.operations.find(({ name }) => name === operation.name);
    if (other === undefined) return [];
    const ratios = {
      ...ratio('cold', operation.coldSeconds.median, other.coldSeconds.median),
      ...ratio('warm', operation.warmSeconds.median, other.warmSeconds.median),
      ...ratio('fromNothing', operation.fromNothingSeconds.median, other.fromNothingSeconds.median),
      ...ratio('received', operation.receivedBytes, other.receivedBytes),
    };
    return [[operation.name, ratios] as const];
  });
  return {
    ...ratio('seconds', mount.seconds.median, peer.seconds.median),
    ...ratio('served', mount.servedSeconds?.median, peer.servedSeconds?.median),
    ...ratio('mountedBytes', mount.mountedBytes, peer.mountedBytes),
    operations: Object.fromEntries(operations),
  };
}

function ratio<Name extends string>(name: Name, ours: number | undefined, theirs: number | undefined) {
  const known = ours !== undefined && theirs !== undefined && theirs > 0;
  return (known ? { [name]: ours / theirs } : {}) as { readonly [key in Name]?: number };
}
