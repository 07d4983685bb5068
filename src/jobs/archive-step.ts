import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import { type AssembleResult, assembleArchive } from '../indexer/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
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
}

/** Assembles one platform's archive at `output` (a temporary name of the caller's), from indexes alone. */
export async function archiveStep(
  request: ArchiveRequest,
  { scratchDir, signal, tools }: Cancelable & { readonly scratchDir: string; readonly tools: NativeToolPaths },
): Promise<AssembleResult> {
  const directory = join(scratchDir, `assemble-${randomUUID()}`);
  await mkdir(directory, { recursive: true });
  try {
    const config = join(directory, 'config.json');
    const manifest = join(directory, 'manifest.json');
    await writeFile(config, request.configBytes);
    await writeFile(manifest, request.manifest.bytes);
    return await assembleArchive(
      {
        output: request.output,
        layers: request.layers.map(({ indexPath, layer }) => ({
          index: indexPath,
          digest: layer.digest,
          mediaType: layer.mediaType,
        })),
        config,
        manifest,
        storage: { registry: request.registry, repository: request.repository, reference: request.manifest.digest },
        imageName: request.imageName,
      },
      { tools, signal },
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
