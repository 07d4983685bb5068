import type { BuildResult } from '../jobs/index.ts';

export interface StoredSize {
  readonly layers: number;
  readonly bytes: number;
}

/** What images of one repository take there: a layer that several have counts once. */
export function storedSize(builds: Iterable<Pick<BuildResult, 'layers'>>): StoredSize {
  const sizes = new Map(
    [...builds].flatMap(({ layers }) => layers.map(({ digest, sizeBytes }) => [digest, sizeBytes])),
  );
  return { layers: sizes.size, bytes: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0) };
}
