import { type Digest, digestOf, isDigest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { type Descriptor, isIndexType, isManifestType, MEDIA_TYPES } from '../oci/index.ts';
import type { DeleteOutcome, FetchedManifest } from './client.ts';
import { isTag, type Repository } from './reference.ts';
import { scopeOf, type Transport } from './transport.ts';
import { listed, nameOf, type WireResponse } from './wire.ts';

/** A shorter list makes registries convert, or answer 404. */
export const ACCEPT_MANIFESTS = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.dockerManifest,
].join(', ');
/** Deletion is switched off, or known by digest only. */
const DELETE_REFUSALS: ReadonlySet<unknown> = new Set([400, 405, 501]);

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

/** `getManifest`; undefined when there is none: only a 404 says that. */
export async function getManifestIfAny(
  transport: Transport,
  repository: Repository,
  name: string,
  { signal }: Cancelable,
): Promise<FetchedManifest | undefined> {
  try {
    return await getManifest(transport, repository, name, { signal });
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_NOT_FOUND') return undefined;
    throw thrown;
  }
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
  const { descriptor } = await sendManifest(transport, repository, name, bytes, mediaType, { signal });
  return descriptor;
}

/** What a registry says to a manifest that it took. */
export interface SentManifest {
  readonly descriptor: Descriptor;
  /** `OCI-Subject`: it lists the manifest as a referrer of this one. */
  readonly subject: Digest | undefined;
  /** `OCI-Tag`: the tags of the request that it set. */
  readonly tags: readonly string[];
}

/** One PUT; `tags` are asked for beside a digest, and ignored by registries that do not know of it. */
export async function sendManifest(
  transport: Transport,
  repository: Repository,
  name: string,
  bytes: Uint8Array,
  mediaType: string,
  { signal, tags = [] }: Cancelable & { readonly tags?: readonly string[] },
): Promise<SentManifest> {
  const digest = digestOf(bytes);
  if (isDigest(name) && name !== digest)
    throw new WorkerError('BLOB_MISMATCH', `the manifest to put at ${name} has digest ${digest}`, { digest: name });
  const url = manifestUrl(transport, repository, name);
  for (const tag of tags) url.searchParams.append('tag', tag);
  const response = await transport.sendRetrying({
    method: 'PUT',
    registry: repository.registry,
    url,
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
  const subject = response.header('oci-subject');
  return {
    descriptor: { mediaType, digest, size: bytes.length },
    subject: subject !== undefined && isDigest(subject) ? subject : undefined,
    tags: listed(response.values('oci-tag')).filter((tag) => tags.includes(tag)),
  };
}

/**
 * One manifest under several tags: all at once where the registry can, then one by one, in order, those that it did not name in
 * its answer.
 */
export async function putManifestTags(
  transport: Transport,
  repository: Repository,
  bytes: Uint8Array,
  mediaType: string,
  { signal, tags }: Cancelable & { readonly tags: readonly string[] },
): Promise<Descriptor> {
  for (const tag of tags) requireName(tag);
  const sent = await sendManifest(transport, repository, digestOf(bytes), bytes, mediaType, { signal, tags });
  for (const tag of tags.filter((each) => !sent.tags.includes(each)))
    await putManifest(transport, repository, tag, bytes, mediaType, { signal });
  return sent.descriptor;
}

/**
 * distribution-spec 1.1, "Deleting Manifests" (by digest, with every tag on it) and "Deleting tags" (only the tag). Throws
 * REGISTRY_DELETE_UNSUPPORTED.
 */
export async function deleteManifest(
  transport: Transport,
  repository: Repository,
  name: string,
  { signal }: Cancelable,
): Promise<DeleteOutcome> {
  const url = manifestUrl(transport, repository, name);
  try {
    const response = await transport.sendRetrying({
      method: 'DELETE',
      registry: repository.registry,
      url,
      scopes: [scopeOf(repository.repository, 'pull,push,delete')],
      expect: [200, 202, 204, 404],
      signal,
    });
    await response.discard();
    return response.status === 404 ? 'absent' : 'deleted';
  } catch (thrown) {
    const refused = thrown instanceof WorkerError && DELETE_REFUSALS.has(thrown.details['status']);
    if (!refused) throw thrown;
    throw new WorkerError(
      'REGISTRY_DELETE_UNSUPPORTED',
      `${repository.registry} refuses to delete ${isDigest(name) ? 'manifests' : 'a tag alone'} (${thrown.message}); ${name} is still there`,
      { ...thrown.details, name, what: isDigest(name) ? 'manifest' : 'tag' },
      { cause: thrown },
    );
  }
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
    url: manifestUrl(transport, repository, name),
    scopes: [scopeOf(repository.repository, 'pull')],
    headers: { accept: ACCEPT_MANIFESTS },
    signal,
  };
}

/** A name that is neither tag nor digest could lead to another path. */
function manifestUrl(transport: Transport, repository: Repository, name: string): URL {
  return transport.urlOf(repository, `manifests/${requireName(name)}`);
}

function requireName(name: string): string {
  if (isDigest(name) || isTag(name)) return name;
  throw new WorkerError('REFERENCE_INVALID', `neither a tag nor a digest: ${JSON.stringify(name.slice(0, 300))}`);
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
