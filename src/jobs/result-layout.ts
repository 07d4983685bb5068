import { constants } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../errors/index.ts';
import { removeQuietly } from '../files/index.ts';
import { fileHolds } from '../indexer/index.ts';
import { OciLayout } from '../oci/index.ts';
import type { PlannedAttestation } from './attestations.ts';
import type { PlannedManifest, PlatformImage } from './image-plan.ts';
import type { PackedLayer } from './pack-step.ts';

export interface ResultLayout {
  readonly tag: string;
  readonly top: PlannedManifest;
  readonly manifests: readonly PlannedManifest[];
  readonly attestations: readonly PlannedAttestation[];
  readonly images: readonly PlatformImage[];
  readonly packed: readonly PackedLayer[];
  /** Fetches a blob that is not on this machine (a layer whose pack was cached) into a new file. */
  readonly fetchBlob: (descriptor: { readonly digest: Digest; readonly size: number }, path: string) => Promise<void>;
}

/** What a layout may hold before its first file is whole: a killed build left that. */
const LAYOUT_FILES: ReadonlySet<string> = new Set(['blobs', '.ingest', '.lock', '.index.lock', 'index.json']);

/** Refuses a folder with somebody's files in it before anything is built. Throws LAYOUT_INVALID. */
export async function checkResultDirectory(directory: string): Promise<void> {
  const names = await namesIn(directory);
  const foreign = names.find((name) => !LAYOUT_FILES.has(name));
  if (foreign === undefined || names.includes('oci-layout')) return;
  throw new WorkerError(
    'LAYOUT_INVALID',
    `${directory} is no OCI layout and not empty: it holds ${foreign}; name a new folder`,
    { directory },
  );
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return [];
    if (systemCodeOf(thrown) === 'ENOTDIR') throw new WorkerError('LAYOUT_INVALID', `${directory} is no folder`);
    throw toWorkerError(thrown, `look into ${directory}`);
  }
}

/**
 * Writes a valid OCI layout of exactly what is pushed: manifests, configurations, every blob as a copy (a reflink where the
 * filesystem has it), tagged `latest` and with the image's own tag. Throws LAYOUT_INVALID when `directory` is something else.
 */
export async function writeResultLayout(
  directory: string,
  result: ResultLayout,
  { signal }: Cancelable,
): Promise<void> {
  const layout = await OciLayout.open(directory, { create: true, signal });
  await using _lock = await layout.lock({ signal });
  for (const { layer, blobPath, fromCache } of result.packed) {
    const descriptor = { digest: layer.digest, size: layer.sizeBytes };
    if (await layout.hasBlob(descriptor)) continue;
    const path = await layout.temporaryPath();
    if (blobPath !== undefined) await copyFile(blobPath, path, constants.COPYFILE_FICLONE);
    // What was packed just now is known to be right; a cached blob that the registry had was not read by anybody yet.
    const proven = blobPath !== undefined && (!fromCache || (await fileHolds(path, layer, { signal })));
    if (!proven) {
      await removeQuietly(path);
      await result.fetchBlob(descriptor, path);
    }
    signal.throwIfAborted();
    await layout.adoptFile(path, { digest: descriptor.digest, sizeBytes: descriptor.size });
  }
  for (const { configBytes, manifest } of result.images) {
    await layout.addBlob(configBytes, { digest: manifest.config.digest, sizeBytes: configBytes.length }, { signal });
  }
  for (const { bytes, descriptor } of result.attestations.flatMap(({ blobs }) => blobs))
    await layout.addBlob(bytes, { digest: descriptor.digest, sizeBytes: bytes.length }, { signal });
  for (const { bytes, descriptor } of [...result.manifests, ...result.attestations.map(({ manifest }) => manifest)])
    await layout.putManifest(bytes, descriptor.mediaType, { signal });
  const top = await layout.putManifest(result.top.bytes, result.top.descriptor.mediaType, { signal });
  for (const name of new Set(['latest', result.tag])) await layout.setTag(name, top, { signal });
}
