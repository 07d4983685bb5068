import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf, hexOf } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import {
  type ArchiveCache,
  type ArchiveFormat,
  type ArchiveInputs,
  type AssembleRequest,
  type AssembleResult,
  assembleArchive,
} from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { PlannedManifest } from './image-plan.ts';
import type { PackedLayer } from './pack-step.ts';

export interface ArchiveRequest {
  /** In manifest order. */
  readonly layers: readonly PackedLayer[];
  readonly configBytes: Uint8Array;
  readonly manifest: Pick<PlannedManifest, 'bytes'> & { readonly digest: Digest };
  readonly registry: string;
  readonly repository: string;
  /** Name in the archive's image metadata, e.g. `host/repository:tag`. */
  readonly imageName: string;
  readonly output: string;
  readonly format: ArchiveFormat;
}

export interface ArchiveStepContext extends Cancelable {
  readonly scratchDir: string;
  readonly tools: NativeToolPaths;
  readonly log: Log;
  /** Archives made before; absent: this one is made, whatever is there. */
  readonly archives?: ArchiveCache | undefined;
  /** Brings a blob that is not on this machine to a path; absent: nothing is asked of a registry. */
  readonly fetchBlob?: (blob: { readonly digest: Digest; readonly size: number }, path: string) => Promise<void>;
}

/**
 * One platform's archive at `output` (a temporary name of the caller's): one that was made of the same before, or assembled from
 * indexes alone, or, when it is to hold the files' bytes, from the blobs as well. Those are not cached: they are as large as their image.
 */
export async function archiveStep(request: ArchiveRequest, context: ArchiveStepContext): Promise<AssembleResult> {
  const archives = request.format === 'clipyard' ? context.archives : undefined;
  const inputs = inputsOf(request);
  const cached = await archives?.get(inputs, request.output);
  if (cached !== undefined) return cached;
  const result = await assemble(request, context);
  await archives?.put(inputs, result, request.output);
  return result;
}

function inputsOf(request: ArchiveRequest): ArchiveInputs {
  const { configBytes, format, imageName, layers, manifest, registry, repository } = request;
  return {
    format,
    layers: layers.map(({ index, layer: { digest, mediaType } }) => ({ index: index.digest, digest, mediaType })),
    config: digestOf(configBytes),
    manifest: digestOf(manifest.bytes),
    registry,
    repository,
    reference: manifest.digest,
    imageName,
  };
}

async function assemble(request: ArchiveRequest, context: ArchiveStepContext): Promise<AssembleResult> {
  const { log, scratchDir, signal, tools } = context;
  const directory = join(scratchDir, `assemble-${randomUUID()}`);
  await makeDirectory(directory);
  try {
    const config = join(directory, 'config.json');
    const manifest = join(directory, 'manifest.json');
    await writeFile(config, request.configBytes);
    await writeFile(manifest, request.manifest.bytes);
    const result = await assembleArchive(
      {
        output: request.output,
        format: request.format,
        layers: await layersOf(request, directory, context),
        config,
        manifest,
        storage: { registry: request.registry, repository: request.repository, reference: request.manifest.digest },
        imageName: request.imageName,
      },
      { tools, signal },
    );
    const lostXattrFiles = result.warnings['lostXattrFiles'] ?? 0;
    if (lostXattrFiles > 0)
      log.warn(
        { files: lostXattrFiles },
        'a V1 archive has no place for extended attributes: these files lose theirs, capabilities among them',
      );
    return result;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function layersOf(
  { format, layers }: ArchiveRequest,
  directory: string,
  { fetchBlob }: ArchiveStepContext,
): Promise<AssembleRequest['layers']> {
  const blobs = new Map<Digest, string>();
  for (const { blobPath, layer } of format === 'v1' ? layers : []) {
    if (blobs.has(layer.digest)) continue;
    if (blobPath === undefined && fetchBlob === undefined)
      throw new WorkerError(
        'BLOB_MISSING',
        `layer ${layer.digest} is not on this machine, and a V1 archive holds its files`,
        { digest: layer.digest },
      );
    const path = blobPath ?? join(directory, hexOf(layer.digest));
    if (blobPath === undefined) await fetchBlob?.({ digest: layer.digest, size: layer.sizeBytes }, path);
    blobs.set(layer.digest, path);
  }
  return layers.map(({ indexPath, layer: { digest, mediaType } }) => {
    const blob = blobs.get(digest);
    return { index: indexPath, digest, mediaType, ...(blob !== undefined && { blob }) };
  });
}
