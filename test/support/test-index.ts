import { randomUUID } from 'node:crypto';
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
    const image = await newTestImage(directory, [3000]);
    await Promise.all(image.blobs.map((blob) => client.pushBlob(repository, blob, { signal })));
    blobs.push(...image.blobs.map(({ digest }) => digest));
    const digest = digestOf(image.manifest);
    await client.putManifest(repository, digest, image.manifest, image.mediaType, { signal });
    return { mediaType: image.mediaType, digest, size: image.manifest.length };
  };
  const images = await Promise.all(PLATFORMS.map(async (platform) => ({ ...(await push()), platform })));
  const attestations = await Promise.all(
    (docker ? [] : images).map(async ({ digest }) => ({
      ...(await push()),
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { [ATTESTATION_TYPE_ANNOTATION]: 'attestation-manifest', [ATTESTATION_SUBJECT_ANNOTATION]: digest },
    })),
  );
  const manifests = [...images, ...attestations];
  const mediaType = docker ? MEDIA_TYPES.dockerIndex : MEDIA_TYPES.ociIndex;
  const bytes = Buffer.from(`${JSON.stringify({ mediaType, schemaVersion: 2, manifests }, undefined, '\t')}\n`);
  await client.putManifest(repository, tag, bytes, mediaType, { signal });
  return { digest: digestOf(bytes), bytes, mediaType, children: manifests.map(({ digest }) => digest), blobs };
}

/** The least that is an image: one blob, which may be there. */
export async function pushSmallImage(
  client: RegistryClient,
  repository: Repository,
  tag: string,
): Promise<{ readonly digest: Digest; readonly bytes: Uint8Array; readonly mediaType: string }> {
  const blob = await pushEmptyBlob(client, repository);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, ...blob },
      layers: [],
      annotations: { made: randomUUID() },
    }),
  );
  await client.putManifest(repository, tag, bytes, MEDIA_TYPES.ociManifest, { signal });
  return { digest: digestOf(bytes), bytes, mediaType: MEDIA_TYPES.ociManifest };
}

async function pushEmptyBlob(client: RegistryClient, repository: Repository) {
  const bytes = Buffer.from('{}');
  const digest = digestOf(bytes);
  await client.pushBlob(repository, { digest, sizeBytes: bytes.length, bytes }, { signal });
  return { digest, size: bytes.length };
}

/** A signature of sorts: a manifest with a subject, an artifact type and annotations. Its blob is there. */
export async function referrerOf(
  client: RegistryClient,
  repository: Repository,
  subject: Digest,
  { artifactType, note = 'none' }: { readonly artifactType?: string; readonly note?: string } = {},
): Promise<{ readonly bytes: Uint8Array; readonly digest: Digest; readonly mediaType: string }> {
  const descriptor = await pushEmptyBlob(client, repository);
  const found = await client.headManifest(repository, subject, { signal });
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
