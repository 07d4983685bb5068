import { type Digest, digestOf } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { type Descriptor, MEDIA_TYPES } from '../../oci/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { SPDX_MEDIA_TYPE } from './sbom.ts';

const EMPTY = { mediaType: 'application/vnd.oci.empty.v1+json', bytes: Buffer.from('{}') };

/** Attaches an SBOM to a manifest as a referrer (image-spec 1.1, "Guidelines for Artifact Usage"). The same SBOM again is the same referrer. */
export async function attachSbom(
  target: Repository,
  subject: Digest,
  document: object,
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<Descriptor> {
  const described = await client.headManifest(target, subject, { signal });
  if (described === undefined) throw new WorkerError('REGISTRY_NOT_FOUND', `there is no manifest ${subject}`);
  const push = async (bytes: Uint8Array, mediaType: string) => {
    const digest = digestOf(bytes);
    await client.pushBlob(target, { digest, sizeBytes: bytes.length, bytes }, { signal });
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: SPDX_MEDIA_TYPE,
    config: await push(EMPTY.bytes, EMPTY.mediaType),
    layers: [await push(Buffer.from(JSON.stringify(document)), SPDX_MEDIA_TYPE)],
    subject: { mediaType: described.mediaType, digest: described.digest, size: described.size },
  };
  return await client.pushReferrer(target, Buffer.from(JSON.stringify(manifest)), manifest.mediaType, { signal });
}
