import type { ClipNode } from '../../../src/archive/index.ts';
import type { TreeEntry, TreeSnapshot } from './snapshot.ts';

const TYPES = new Map<number, TreeEntry['type']>([
  [0o040000, 'dir'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o020000, 'char'],
  [0o060000, 'block'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
]);

/** The node list of an archive in the form of a tree on disk; it knows neither extended attributes nor bytes. */
export function snapshotNodes(nodes: readonly ClipNode[]): TreeSnapshot {
  const sorted = [...nodes].sort((a, b) => (a.path < b.path ? -1 : 1));
  const firstNames = new Map<bigint, string>();
  return new Map(
    sorted.map(({ path, attributes, target }): [string, TreeEntry] => {
      const type = TYPES.get(attributes.mode & 0o170000) ?? 'file';
      if (!firstNames.has(attributes.inode)) firstNames.set(attributes.inode, path);
      const entry: TreeEntry = {
        type,
        mode: attributes.mode & 0o7777,
        uid: attributes.owner.uid,
        gid: attributes.owner.gid,
        sizeBytes: type === 'file' || type === 'symlink' ? attributes.sizeBytes : 0,
        mtimeNs: BigInt(attributes.mtimeSeconds) * 1_000_000_000n + BigInt(attributes.mtimeNanos),
        links: type === 'dir' ? 0 : attributes.links,
        sameAs: firstNames.get(attributes.inode) ?? path,
        target,
        device: type === 'char' || type === 'block' ? BigInt(attributes.deviceNumber) : 0n,
        xattrs: {},
        sha256: '',
      };
      return [path, entry];
    }),
  );
}
