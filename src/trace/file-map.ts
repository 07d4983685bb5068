import { type ClipNode, displayOf } from '../archive/index.ts';
import type { Touch, TracedLayer } from './trace-file.ts';

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly end: number;
}

/** Says which file a stretch of a layer belongs to. */
export interface FileMap {
  /** The file that has most of what was read; none where there is no file, or it was replaced by an upper layer. */
  fileOf(touch: Touch): string | undefined;
  /** Whether the image has a file. */
  has(path: string): boolean;
}

/** From the node list of an archive. Of several names of one file the first counts. */
export function fileMap(nodes: readonly ClipNode[], layers: readonly TracedLayer[]): FileMap {
  const byLayer = new Map<string, Place[]>();
  const paths = new Set<string>();
  for (const node of nodes) {
    if (node.type !== 'file') continue;
    const path = displayOf(node.path);
    paths.add(path);
    if (node.remote === undefined || node.remote.lengthBytes === 0) continue;
    const { layerDigest, lengthBytes, offset } = node.remote;
    const places = byLayer.get(layerDigest) ?? [];
    places.push({ path, offset, end: offset + lengthBytes });
    byLayer.set(layerDigest, places);
  }
  for (const places of byLayer.values()) places.sort((a, b) => a.offset - b.offset || (a.path < b.path ? -1 : 1));
  return {
    has: (path) => paths.has(path),
    fileOf({ layer, length, offset }) {
      const places = byLayer.get(layers[layer]?.digest ?? '') ?? [];
      const end = offset + length;
      const best = { path: undefined as string | undefined, bytes: 0 };
      for (let at = firstEndingBehind(places, offset); at < places.length; at += 1) {
        const place = places[at];
        if (place === undefined || place.offset >= end) break;
        const bytes = Math.min(place.end, end) - Math.max(place.offset, offset);
        if (bytes > best.bytes) Object.assign(best, { path: place.path, bytes });
      }
      return best.path;
    },
  };
}

/** Files of a tar do not overlap, so their ends ascend as their starts do. */
function firstEndingBehind(places: readonly Place[], offset: number): number {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((places[middle]?.end ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
