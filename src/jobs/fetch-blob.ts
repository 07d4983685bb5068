import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type Digest, verify } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { RegistryClient, Repository } from '../registry/index.ts';

/** Brings a blob from the registry into a file that must not be there yet, its bytes proven. */
export async function fetchBlobTo(
  client: RegistryClient,
  repository: Repository,
  { digest, size }: { readonly digest: Digest; readonly size: number },
  path: string,
  { signal }: Cancelable,
): Promise<void> {
  const body = await client.getBlobStream(repository, digest, { signal });
  await pipeline(body, verify({ digest, sizeBytes: size }), createWriteStream(path, { flags: 'wx' }), { signal });
}
