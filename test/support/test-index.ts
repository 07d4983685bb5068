import { type Digest, digestOf } from '../../src/digest/index.ts';
import { ATTESTATION_SUBJECT_ANNOTATION, ATTESTATION_TYPE_ANNOTATION, MEDIA_TYPES } from '../../src/oci/index.ts';
import type { RegistryClient, Repository } from '../../src/registry/index.ts';
import { newTestImage } from './test-image.ts';

export interface PushedIndex {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** In the order of the index: two images, then what attests each. */
  readonly children: readonly Digest[];
  readonly blobs: readonly Digest[];
}

const signal = new AbortController().signal;
const PLATFORMS = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64' },
] as const;

/** Two platforms and BuildKit's attestations of each, under `tag`. Its bytes are no canonical JSON: only a copy keeps them. */
export async function pushTestIndex(
  client: RegistryClient,
  repository: Repository,
  tag: string,
  { directory, docker = false }: { readonly directory: string; readonly docker?: boolean },
): Promise<PushedIndex> {
  const blobs: Digest[] = [];
  const push = async () => {
    const image = await newTestImage(directory, [3000, 200]);
    for (const blob of image.blobs) {
      await client.pushBlob(repository, blob, { signal });
      blobs.push(blob.digest);
    }
    const digest = digestOf(image.manifest);
    await client.putManifest(repository, digest, image.manifest, image.mediaType, { signal });
    return { mediaType: image.mediaType, digest, size: image.manifest.length };
  };
  const images = [];
  for (const platform of PLATFORMS) images.push({ ...(await push()), platform });
  const attestations = [];
  for (const { digest } of docker ? [] : images)
    attestations.push({
      ...(await push()),
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { [ATTESTATION_TYPE_ANNOTATION]: 'attestation-manifest', [ATTESTATION_SUBJECT_ANNOTATION]: digest },
    });
  const manifests = [...images, ...attestations];
  const mediaType = docker ? MEDIA_TYPES.dockerIndex : MEDIA_TYPES.ociIndex;
  const bytes = Buffer.from(`${JSON.stringify({ mediaType, schemaVersion: 2, manifests }, undefined, '\t')}\n`);
  await client.putManifest(repository, tag, bytes, mediaType, { signal });
  return { digest: digestOf(bytes), bytes, mediaType, children: manifests.map(({ digest }) => digest), blobs };
}

/** A signature of sorts: a manifest with a subject, an artifact type and annotations. Its blob is there. */
export async function referrerOf(
  client: RegistryClient,
  repository: Repository,
  subject: Digest,
  { artifactType, note = 'none' }: { readonly artifactType?: string; readonly note?: string } = {},
): Promise<{ readonly bytes: Uint8Array; readonly digest: Digest; readonly mediaType: string }> {
  const empty = Buffer.from('{}');
  const blob = { digest: digestOf(empty), sizeBytes: empty.length, bytes: empty };
  await client.pushBlob(repository, blob, { signal });
  const found = await client.headManifest(repository, subject, { signal });
  const descriptor = { digest: blob.digest, size: blob.sizeBytes };
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      ...(artifactType !== undefined && { artifactType }),
      config: {
        mediaType: artifactType === undefined ? 'application/vnd.test.config' : MEDIA_TYPES.ociEmpty,
        ...descriptor,
      },
      layers: [{ mediaType: MEDIA_TYPES.ociEmpty, ...descriptor }],
      subject: found ?? { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 1 },
      annotations: { note },
    }),
  );
  return { bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociManifest };
}
