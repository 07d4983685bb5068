import { displayOf } from './byte-string.ts';
import type { ClipNode } from './clip-node.ts';
import { corrupt } from './failure.ts';
import type { LayerRecord } from './layers-section.ts';

/**
 * What can be proven of a node list without a metadata image to compare it with: paths in byte order, the root first, and
 * the data of every file inside a layer. Throws ARCHIVE_CORRUPT.
 */
export function requirePlaces(nodes: readonly ClipNode[], layers: readonly LayerRecord[]): void {
  const plainBytes = new Map<string, number>(layers.map((layer) => [layer.digest, layer.plainBytes]));
  if (nodes[0]?.path !== '/') throw corrupt('the node list does not start with the root');
  nodes.forEach(({ attributes, path, remote, type }, at) => {
    const before = nodes[at - 1];
    if (before !== undefined && before.path >= path) throw corrupt(`node ${displayOf(path)} is out of order`);
    if (remote === undefined) return;
    const { layerDigest, lengthBytes, offset } = remote;
    if (
      type !== 'file' ||
      lengthBytes !== attributes.sizeBytes ||
      offset + lengthBytes > (plainBytes.get(layerDigest) ?? -1)
    )
      throw corrupt(`the data of ${displayOf(path)} lies in no layer`);
  });
}
