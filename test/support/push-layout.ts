import { readFile } from 'node:fs/promises';
import type { Digest } from '../../src/digest/index.ts';
import { MEDIA_TYPES } from '../../src/oci/index.ts';
import { createRegistryClient, type Repository } from '../../src/registry/index.ts';
import { type Layout, sha256 } from './corpus/index.ts';

/** Puts an image of the corpus into a registry, under its digest and as `latest`. */
export async function pushLayout(
  { configPath, layers, manifestDigest, manifestPath }: Layout,
  repository: Repository,
): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  await using client = createRegistryClient();
  const config = await readFile(configPath);
  const blobs = [
    ...layers.map(({ digest, path, sizeBytes }) => ({ digest: digest as Digest, path, sizeBytes })),
    { digest: sha256(config) as Digest, path: configPath, sizeBytes: config.length },
  ];
  for (const blob of blobs) await client.pushBlob(repository, blob, { signal });
  const manifest = await readFile(manifestPath);
  for (const name of [manifestDigest, 'latest'])
    await client.putManifest(repository, name, manifest, MEDIA_TYPES.ociManifest, { signal });
}
