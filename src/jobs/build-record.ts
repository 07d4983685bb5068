import type { BuildkitResult } from '../buildkit/index.ts';
import type { ImageBuild } from './build-request.ts';
import type { PackedLayer } from './pack-step.ts';
import type { AssembledArchive } from './publish-step.ts';

export interface RecordInput {
  readonly request: ImageBuild;
  readonly storageRef: string;
  readonly solved: BuildkitResult;
  readonly archives: readonly AssembledArchive[];
  readonly layers: readonly PackedLayer[];
}

/**
 * What stands beside an archive to say how it came to be: names of build arguments without their values (they may be
 * secrets that somebody put where they do not belong), secret ids, layers. No time, so that the same build says the same.
 */
export function buildRecord({ archives, layers, request, solved, storageRef }: RecordInput): object {
  const { build, compression, imageId, workspaceId } = request;
  return {
    version: 1,
    workspaceId,
    imageId,
    storageRef,
    target: build.target,
    platforms: archives.map(({ platform }) => platform),
    buildArguments: Object.keys(build.buildArgs ?? {}).toSorted(),
    labels: Object.keys(build.labels ?? {}).toSorted(),
    baseReferences: solved.baseReferences,
    compression,
    archives: archives.map(({ manifest, platform, result }) => ({
      platform,
      digest: result.digest,
      manifestDigest: manifest.descriptor.digest,
      entries: result.entries,
      warnings: result.warnings,
    })),
    layers: layers.map(({ layer: { diffId, digest, mediaType, plainBytes, sizeBytes, warnings } }) => ({
      digest,
      diffId,
      mediaType,
      sizeBytes,
      plainBytes,
      warnings,
    })),
  };
}
