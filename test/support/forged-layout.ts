import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ForgedLayer {
  readonly bytes: Uint8Array;
  readonly mediaType?: string;
  /** What the configuration says of the plain stream; default: the digest of the bytes. */
  readonly diffId?: string;
  /** What lies in the blob's file instead. */
  readonly stored?: Uint8Array;
}

const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** An OCI layout with one image of exactly these layers, right or wrong; written by hand, not by the code under test. */
export async function forgeLayout(directory: string, layers: readonly ForgedLayer[]): Promise<string> {
  const blobs = join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (content: Uint8Array, stored = content) => {
    await writeFile(join(blobs, sha256(content).slice(7)), stored);
    return { digest: sha256(content), size: content.length };
  };
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: layers.map(({ bytes, diffId }) => diffId ?? sha256(bytes)) },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...(await put(config)) },
      layers: await Promise.all(
        layers.map(async ({ bytes, mediaType = 'application/vnd.oci.image.layer.v1.tar', stored }) => ({
          mediaType,
          ...(await put(bytes, stored)),
        })),
      ),
    }),
  );
  const entry = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...(await put(manifest)),
    annotations: { 'org.opencontainers.image.ref.name': 'latest' },
  };
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return directory;
}
