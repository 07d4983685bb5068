import { readFile, writeFile } from 'node:fs/promises';
import { fileSource, openArchive } from '../../src/archive/index.ts';
import { type Digest, digestOf } from '../../src/digest/index.ts';
import { openStore } from '../../src/objects/index.ts';
import { MEDIA_TYPES } from '../../src/oci/index.ts';
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

/** Puts the blobs of an archive into a store, under the names of an OCI layout. */
export async function putBlobs(archive: MadeArchive, url: string): Promise<void> {
  await using store = openStore(url, process.env);
  const { signal } = new AbortController();
  for (const { blob, digest } of archive.layers)
    await store.putFile(`blobs/${digest.replace(':', '/')}`, blob, { signal });
}

/**
 * Publishes an image as it is, with an archive of the kind that other CLIP writers make: node list and storage info, nothing behind
 * them. Gives the archive's path.
 */
export async function publishStockArchive(
  layout: Layout,
  options: Omit<MakeOptions, 'registry' | 'repository' | 'codec'>,
): Promise<string> {
  const made = await publishArchive(layout, { ...options, codec: 'keep' });
  const where = {
    registry: serviceSetting('CLIPYARD_REGISTRY'),
    repository: `fidelity/${options.name}-${process.pid}`,
  };
  await using client = createRegistryClient({ credentials: NO_CREDENTIALS });
  const { signal } = new AbortController();
  const config = await readFile(made.config);
  const blob = { path: made.config, digest: digestOf(config), sizeBytes: config.length };
  await client.pushBlob(where, blob, { signal });
  const manifest = await readFile(made.manifest);
  await client.putManifest(where, made.manifestDigest, manifest, MEDIA_TYPES.ociManifest, { signal });
  const bytes = await readFile(made.path);
  const stock = bytes.subarray(0, await clipBytesOf(made.path));
  stock.fill(0, 42 + 'oci'.length, 54); // our mark behind the storage type
  const path = `${made.path}.stock`;
  await writeFile(path, stock);
  return path;
}

async function clipBytesOf(path: string): Promise<number> {
  await using source = await fileSource(path);
  const { footer } = await openArchive(source, { signal: new AbortController().signal });
  return footer?.clipBytes ?? 0;
}
