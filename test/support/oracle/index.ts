export { snapshotNodes } from './archive-tree.ts';
export { type CompareOptions, compareTrees } from './compare.ts';
export { snapshotTree, type TreeEntry, type TreeSnapshot } from './snapshot.ts';
export { gnuTarExtract, mountErofs, umociUnpack } from './tools.ts';
