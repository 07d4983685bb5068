import type { AssembleResult } from '../indexer/index.ts';
import type { Platform } from '../oci/index.ts';
import type { ImageBuild } from './build-request.ts';
import type { PlannedManifest } from './image-plan.ts';
import { type IndexContext, makeArchive } from './index-image.ts';

export interface IndexPushedContext extends IndexContext {
  readonly request: ImageBuild;
  readonly tag: string;
  readonly jobs: number;
}

/**
 * The path that indexing from the layout replaced, kept to be measured against: the image is in the registry, and its layers
 * are fetched again to be indexed, whatever is on this machine. Gives the archive that the layout gives.
 */
export async function indexPushed(
  platform: Platform,
  { bytes, descriptor }: PlannedManifest,
  output: string,
  context: IndexPushedContext,
): Promise<AssembleResult> {
  const { client, jobs, request, signal, tag } = context;
  await client.putManifest(request.target, descriptor.digest, bytes, descriptor.mediaType, { signal });
  const { result } = await makeArchive(
    {
      source: { kind: 'docker', reference: { ...request.target, digest: descriptor.digest } },
      storage: { ...request.target, tag },
      output,
      platform,
      platformAsked: false,
      engine: 'native',
      jobs,
      chunkBytes: request.compression.chunkBytes,
      useCache: false,
      format: request.archiveFormat,
    },
    context,
  );
  return result;
}
