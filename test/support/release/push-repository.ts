import { createRegistryClient, type Repository } from '../../../src/registry/index.ts';
import type { MemoryRepository } from './memory-repository.ts';

/** Puts a repository of the model into a real registry, referrers through whatever that has for them. */
export async function pushRepository(model: MemoryRepository, repository: Repository): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  await using client = createRegistryClient();
  for (const [digest, bytes] of model.blobs)
    await client.pushBlob(repository, { digest, sizeBytes: bytes.length, bytes }, { signal });
  for (const [digest, { bytes, mediaType }] of model.manifests) {
    const { subject } = JSON.parse(Buffer.from(bytes).toString()) as { subject?: object };
    if (subject === undefined) await client.putManifest(repository, digest, bytes, mediaType, { signal });
    else await client.pushReferrer(repository, bytes, mediaType, { signal });
  }
  for (const [tag, digest] of model.tags) {
    const { bytes, mediaType } = model.manifests.get(digest) ?? { bytes: new Uint8Array(), mediaType: '' };
    await client.putManifest(repository, tag, bytes, mediaType, { signal });
  }
}
