import { randomUUID } from 'node:crypto';
import { type Digest, digestOf } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { MEDIA_TYPES } from '../../oci/index.ts';
import type { DeleteOutcome, RegistryClient, Repository } from '../../registry/index.ts';

export interface TagRemoval extends Cancelable {
  readonly client: RegistryClient;
  readonly repository: Repository;
  readonly tag: string;
  /** What the plan found under it. */
  readonly expected?: Digest;
}

/**
 * Removes a tag and nothing else. A registry that deletes by digest only gets a manifest of no image under the tag, and is told to
 * delete that one: the image and its other tags stay. Throws TAG_CHANGED, and REGISTRY_DELETE_UNSUPPORTED with the tag as it was.
 */
export async function removeTag(removal: TagRemoval): Promise<DeleteOutcome> {
  const { client, expected, repository, signal, tag } = removal;
  const found = (await client.headManifest(repository, tag, { signal }))?.digest;
  if (found === undefined) return 'absent';
  if (expected !== undefined && expected !== found)
    throw new WorkerError('TAG_CHANGED', `${tag} is ${found} and was ${expected} in the plan; it stays`, {
      tag,
      expected,
      found,
    });
  try {
    return await client.deleteManifest(repository, tag, { signal });
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'REGISTRY_DELETE_UNSUPPORTED') throw thrown;
  }
  // Whether it deletes at all is found out beside the tag: it must not lose its image to a registry that does not.
  await client.deleteManifest(repository, await putStandIn(removal), { signal });
  return await client.deleteManifest(repository, await putStandIn(removal, tag), { signal });
}

/** A manifest that nobody else has: its digest can be deleted without taking another tag along. */
async function putStandIn({ client, repository, signal }: TagRemoval, tag?: string): Promise<Digest> {
  const empty = Buffer.from('{}');
  const blob = { digest: digestOf(empty), sizeBytes: empty.length, bytes: empty };
  await client.pushBlob(repository, blob, { signal });
  const descriptor = { mediaType: MEDIA_TYPES.ociEmpty, digest: blob.digest, size: blob.sizeBytes };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      artifactType: 'application/vnd.clipyard.removed-tag',
      config: descriptor,
      layers: [descriptor],
      annotations: { 'dev.clipyard.stand-in': randomUUID() },
    }),
  );
  const digest = digestOf(manifest);
  await client.putManifest(repository, tag ?? digest, manifest, MEDIA_TYPES.ociManifest, { signal });
  return digest;
}
