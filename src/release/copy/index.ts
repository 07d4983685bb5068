export { type CopyRequest, type CopyResult, copyImage } from './copy.ts';
export type { CopyCounts, CopyEvent } from './tree-copy.ts';
