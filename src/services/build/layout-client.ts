import { constants } from 'node:fs';
import { copyFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, type OciLayout } from '../../oci/index.ts';
import type { BlobSource, FetchedManifest, GrowingBlob, RegistryClient } from '../../registry/index.ts';

/**
 * An OCI layout in the place of a registry: a build that is not pushed runs through the same pipeline, and what it would
 * send is kept here, whole, until somebody pushes it. Only what a build asks of a registry is there.
 */
export function layoutClient(layout: OciLayout): RegistryClient {
  const sizeOf = async (digest: Digest) => (await stat(layout.blobPath(digest)).catch(() => undefined))?.size;
  const getManifest = async (name: string, { signal }: Cancelable): Promise<FetchedManifest> => {
    const found = await layout.resolve(name).catch(() => undefined);
    const digest = found?.digest ?? (name as Digest);
    const size = found?.size ?? (await sizeOf(digest));
    if (size === undefined) throw new WorkerError('REGISTRY_NOT_FOUND', `${layout.directory} has no manifest ${name}`);
    const bytes = await layout.readBlob({ digest, size }, { maxBytes: MAX_MANIFEST_BYTES, signal });
    return { bytes, digest, mediaType: found?.mediaType ?? mediaTypeOf(bytes) };
  };
  const unasked = () => Promise.reject(new WorkerError('INTERNAL', 'no build asks this of a layout'));
  return {
    ping: () => Promise.resolve(),
    async headBlob(_, digest) {
      const sizeBytes = await sizeOf(digest);
      return sizeBytes === undefined ? undefined : { sizeBytes };
    },
    async getBlobStream(_, digest, { range, signal }) {
      const sizeBytes = await sizeOf(digest);
      if (sizeBytes === undefined || range !== undefined)
        throw new WorkerError('REGISTRY_NOT_FOUND', `${layout.directory} has no blob ${digest}`, { digest });
      return Readable.from([await layout.readBlob({ digest, size: sizeBytes }, { maxBytes: sizeBytes, signal })]);
    },
    async pushBlob(_, blob, { signal }) {
      if (await layout.hasBlob({ digest: blob.digest, size: blob.sizeBytes })) return 'present';
      await addBlob(layout, blob, { signal });
      return 'sent';
    },
    async pushGrowing(_, blob, { signal, turn = (work) => work() }) {
      const { final } = await blob.atLeast(Number.POSITIVE_INFINITY, { signal });
      if (final === undefined) throw new WorkerError('INTERNAL', 'a blob ended without a digest');
      if (await layout.hasBlob({ digest: final.digest, size: final.sizeBytes }))
        return { outcome: 'present', sentBytes: 0 };
      await turn(async () => {
        await layout.addBlob(readable(blob, final.sizeBytes), final, { signal });
      });
      return { outcome: 'sent', sentBytes: final.sizeBytes };
    },
    async headManifest(_, name, options) {
      const found = await getManifest(name, options).catch((thrown: unknown) => {
        if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_NOT_FOUND') return undefined;
        throw thrown;
      });
      return found && { mediaType: found.mediaType, digest: found.digest, size: found.bytes.length };
    },
    getManifest: (_, name, options) => getManifest(name, options),
    putManifest: async (_, name, bytes, mediaType, { signal }): Promise<Descriptor> => {
      const descriptor = await layout.putManifest(bytes, mediaType, { signal });
      if (!name.startsWith('sha256:')) await layout.setTag(name, descriptor, { signal });
      return descriptor;
    },
    dropUpload: () => Promise.resolve(true),
    putManifestTags: unasked,
    deleteManifest: unasked,
    listReferrers: () => Promise.resolve([]),
    pushReferrer: unasked,
    listTags: () => Promise.resolve([]),
    resolve: (reference, options) => getManifest(reference.digest ?? reference.tag ?? 'latest', options),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function addBlob(layout: OciLayout, blob: BlobSource, { signal }: Cancelable): Promise<void> {
  if (!('path' in blob)) {
    const bytes = 'bytes' in blob ? blob.bytes : Readable.from(blob.read(0, blob.sizeBytes));
    await layout.addBlob(bytes, blob, { signal });
    return;
  }
  const path = await layout.temporaryPath();
  await copyFile(blob.path, path, constants.COPYFILE_FICLONE);
  signal.throwIfAborted();
  await layout.adoptFile(path, blob);
}

function readable(blob: GrowingBlob, sizeBytes: number): Readable {
  return Readable.from(blob.bytes(0, sizeBytes));
}

function mediaTypeOf(bytes: Uint8Array): string {
  const { mediaType } = JSON.parse(Buffer.from(bytes).toString()) as { mediaType?: unknown };
  if (typeof mediaType === 'string') return mediaType;
  throw new WorkerError('MANIFEST_INVALID', 'a manifest of the local layout does not name its type');
}
