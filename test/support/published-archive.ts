import type { Digest } from '../../src/digest/index.ts';
import { createRegistryClient, NO_CREDENTIALS } from '../../src/registry/index.ts';
import type { Layout } from './corpus/index.ts';
import { type MadeArchive, type MakeOptions, makeArchive } from './native/index.ts';
import { serviceSetting } from './services.ts';

/** Makes the archive of a layout and puts the blobs it reads into a repository of the tests' registry. */
export async function publishArchive(
  layout: Layout,
  options: Omit<MakeOptions, 'registry' | 'repository'>,
): Promise<MadeArchive> {
  const where = {
    registry: serviceSetting('CLIPYARD_REGISTRY'),
    repository: `fidelity/${options.name}-${process.pid}`,
  };
  const archive = await makeArchive(layout, { ...options, ...where });
  await using client = createRegistryClient({ credentials: NO_CREDENTIALS });
  const { signal } = new AbortController();
  for (const { blob, digest, sizeBytes } of archive.layers)
    await client.pushBlob(where, { path: blob, digest: digest as Digest, sizeBytes }, { signal });
  return archive;
}
