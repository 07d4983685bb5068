import { type Digest, digestOf, isDigest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { type Descriptor, isIndexType, isManifestType, MEDIA_TYPES } from '../oci/index.ts';
import type { FetchedManifest } from './client.ts';
import type { Repository } from './reference.ts';
import { scopeOf, type Transport } from './transport.ts';
import { nameOf, type WireResponse } from './wire.ts';

const ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.dockerManifest,
].join(', ');

/** distribution-spec 1.1, "Checking if content exists in the registry". */
export async function headManifest(
  transport: Transport,
  repository: Repository,
  name: string,
  { signal }: Cancelable,
): Promise<Descriptor | undefined> {
  const response = await transport.sendRetrying({
    ...requestOf(transport, repository, name, 'HEAD', { signal }),
    expect: [200, 404],
  });
  await response.discard();
  if (response.status === 404) return undefined;
  const digest = digestHeader(response) ?? (isDigest(name) ? name : undefined);
  const size = Number(response.header('content-length') ?? Number.NaN);
  const mediaType = mediaTypeOf(response);
  if (digest !== undefined && Number.isSafeInteger(size) && mediaType !== undefined) return { mediaType, digest, size };
  // Old registries and proxies leave these headers out of HEAD.
  const fetched = await getManifest(transport, repository, name, { signal });
  return { mediaType: fetched.mediaType, digest: fetched.digest, size: fetched.bytes.length };
}

/** distribution-spec 1.1, "Pulling manifests". Throws BLOB_MISMATCH, LIMIT_EXCEEDED, REGISTRY_NOT_FOUND. */
export async function getManifest(
  transport: Transport,
  repository: Repository,
  name: string,
  { signal }: Cancelable,
): Promise<FetchedManifest> {
  const request = requestOf(transport, repository, name, 'GET', { signal });
  const { response, bytes } = await transport.retrying(nameOf('GET', request.url), { signal }, async () => {
    const answer = await transport.send({ ...request, expect: [200] });
    return { response: answer, bytes: await answer.bytes(transport.limits.maxManifestBytes) };
  });
  const digest = digestOf(bytes);
  const wanted = isDigest(name) ? name : digestHeader(response);
  if (wanted !== undefined && wanted !== digest) {
    throw new WorkerError(
      'BLOB_MISMATCH',
      `${nameOf('GET', request.url)}: the manifest has digest ${digest} instead of ${wanted}`,
      { digest: wanted },
    );
  }
  const mediaType = mediaTypeOf(response) ?? mediaTypeInside(bytes);
  if (mediaType === undefined) {
    throw new WorkerError(
      'REGISTRY_PROTOCOL',
      `${nameOf('GET', request.url)}: the answer is no manifest (${response.header('content-type') ?? 'no type'})`,
    );
  }
  return { bytes, mediaType, digest };
}

/** distribution-spec 1.1, "Pushing Manifests". Throws BLOB_MISSING, BLOB_MISMATCH. */
export async function putManifest(
  transport: Transport,
  repository: Repository,
  name: string,
  bytes: Uint8Array,
  mediaType: string,
  { signal }: Cancelable,
): Promise<Descriptor> {
  const digest = digestOf(bytes);
  if (isDigest(name) && name !== digest)
    throw new WorkerError('BLOB_MISMATCH', `the manifest to put at ${name} has digest ${digest}`, { digest: name });
  const response = await transport.sendRetrying({
    method: 'PUT',
    registry: repository.registry,
    url: transport.urlOf(repository, `manifests/${name}`),
    scopes: [scopeOf(repository.repository, 'pull,push')],
    headers: { 'content-type': mediaType },
    body: { sizeBytes: bytes.length, open: () => bytes },
    expect: [201],
    signal,
  });
  await response.discard();
  const stored = digestHeader(response);
  if (stored !== undefined && stored !== digest) {
    throw new WorkerError(
      'BLOB_MISMATCH',
      `${nameOf('PUT', response.url)}: the registry stored ${stored} instead of ${digest}`,
      { digest },
    );
  }
  return { mediaType, digest, size: bytes.length };
}

function requestOf(
  transport: Transport,
  repository: Repository,
  name: string,
  method: 'GET' | 'HEAD',
  { signal }: Cancelable,
) {
  return {
    method,
    registry: repository.registry,
    url: transport.urlOf(repository, `manifests/${name}`),
    scopes: [scopeOf(repository.repository, 'pull')],
    headers: { accept: ACCEPT },
    signal,
  };
}

function digestHeader(response: WireResponse): Digest | undefined {
  const value = response.header('docker-content-digest');
  return value !== undefined && isDigest(value) ? value : undefined;
}

function mediaTypeOf(response: WireResponse): string | undefined {
  const type = response.header('content-type')?.split(';')[0]?.trim();
  return type !== undefined && (isManifestType(type) || isIndexType(type)) ? type : undefined;
}

/** What the document says of itself, for registries that send it as plain JSON. */
function mediaTypeInside(bytes: Uint8Array): string | undefined {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const type =
      typeof document === 'object' && document !== null && 'mediaType' in document ? document.mediaType : undefined;
    return typeof type === 'string' && (isManifestType(type) || isIndexType(type)) ? type : undefined;
  } catch {
    return undefined;
  }
}
