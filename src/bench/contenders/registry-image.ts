import pLimit from 'p-limit';
import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, type OciLayout, parseManifest } from '../../oci/index.ts';
import { endpointOf, type RegistryClient, type Repository } from '../../registry/index.ts';

/** What a push has under way at once, as `clipyard build` does. */
const PUSH_WIDTH = 4;
const DELETE_TIMEOUT_MS = 30_000;

/** Pushes an image of a layout: blobs side by side, then the manifest under the tag. Gives the bytes of its layers. */
export async function pushImage(
  layout: OciLayout,
  manifest: Descriptor,
  target: Repository & { readonly tag: string },
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<{ readonly blobBytes: number }> {
  const bytes = await layout.readBlob(manifest, { maxBytes: MAX_MANIFEST_BYTES, signal });
  const { config, layers } = parseManifest(bytes);
  const blobs = [config, ...layers].map(({ digest, size }) => ({
    digest,
    sizeBytes: size,
    path: layout.blobPath(digest),
  }));
  const limit = pLimit(PUSH_WIDTH);
  await Promise.all(blobs.map((blob) => limit(() => client.pushBlob(target, blob, { signal }))));
  await client.putManifest(target, target.tag, bytes, manifest.mediaType, { signal });
  return { blobBytes: layers.reduce((sum, { size }) => sum + size, 0) };
}

/**
 * Takes a temporary repository away as far as the registry lets us (distribution-spec 1.1, "Content Management"); says so
 * where it does not. Only repositories that a benchmark named are touched.
 */
export async function removeImage(
  target: Repository & { readonly tag: string },
  { client, say }: { readonly client: RegistryClient; readonly say: (line: string) => void },
): Promise<void> {
  if (!target.repository.startsWith('bench-'))
    throw new WorkerError('INTERNAL', `${target.repository} is no repository of a benchmark`);
  const signal = AbortSignal.timeout(DELETE_TIMEOUT_MS); // also when the benchmark was stopped
  try {
    const manifest = await client.getManifest(target, target.tag, { signal });
    const { config, layers } = parseManifest(manifest.bytes);
    const paths = [
      `manifests/${target.tag}`,
      `manifests/${manifest.digest}`,
      ...[config, ...layers].map(({ digest }) => `blobs/${digest}`),
    ];
    for (const path of paths)
      await fetch(new URL(`/v2/${target.repository}/${path}`, endpointOf(target.registry, false)), {
        method: 'DELETE',
        signal,
      });
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_NOT_FOUND') return;
    say(`${target.registry}/${target.repository} could not be removed: ${messageOf(thrown)}`);
  }
}
