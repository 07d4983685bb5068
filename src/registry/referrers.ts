import { type Digest, digestOf } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { type Descriptor, isIndexType, MEDIA_TYPES, parseIndex, parseManifest } from '../oci/index.ts';
import { ACCEPT_MANIFESTS, getManifestIfAny, putManifest, sendManifest } from './manifests.ts';
import { readPages } from './pages.ts';
import type { Repository } from './reference.ts';
import { fallbackTagOf } from './referrers-tag.ts';
import type { Transport } from './transport.ts';
import { listed } from './wire.ts';

const FILTERS_APPLIED = 'oci-filters-applied';
/** Writers of one fallback index that come between each other; each round another one of them gets through. */
const RACES = 5;

/**
 * distribution-spec 1.1, "Listing Referrers". A registry that answers 404 does not keep them: they are in the index under the
 * fallback tag then. An empty list is an answer.
 */
export async function listReferrers(
  transport: Transport,
  repository: Repository,
  subject: Digest,
  { artifactType, signal }: Cancelable & { readonly artifactType?: string },
): Promise<readonly Descriptor[]> {
  const url = transport.urlOf(repository, `referrers/${subject}`);
  if (artifactType !== undefined) url.searchParams.set('artifactType', artifactType);
  const isWanted = (descriptor: Descriptor) => artifactType === undefined || descriptor.artifactType === artifactType;
  const found = new Map<Digest, Descriptor>();
  let isKept = false;
  for await (const page of readPages(transport, repository, url, { accept: ACCEPT_MANIFESTS, signal })) {
    isKept = true;
    const isFiltered = listed(page.response.values(FILTERS_APPLIED)).includes('artifactType');
    for (const descriptor of indexIn(page.bytes, page.doing))
      if (isFiltered || isWanted(descriptor)) found.set(descriptor.digest, descriptor);
  }
  if (isKept) return [...found.values()];
  const fallback = await readFallback(transport, repository, subject, { signal });
  return fallback.entries.filter(isWanted);
}

/**
 * Puts a manifest that names a `subject`, under its digest. A registry that does not say `OCI-Subject` does not list it; then
 * the index under the fallback tag is read, completed, written and read again (distribution-spec 1.1, "Pushing Manifests with
 * Subject"). Throws MANIFEST_INVALID without a subject, REGISTRY_RACE_LOST when others keep on replacing that index.
 */
export async function pushReferrer(
  transport: Transport,
  repository: Repository,
  bytes: Uint8Array,
  mediaType: string,
  { signal }: Cancelable,
): Promise<Descriptor> {
  const { subject, entry } = entryOf(bytes, mediaType);
  const sent = await sendManifest(transport, repository, entry.digest, bytes, mediaType, { signal });
  if (sent.subject !== subject) await addToFallback(transport, repository, subject, entry, { signal });
  return { mediaType, digest: entry.digest, size: bytes.length };
}

/** What a list of referrers says of a manifest: its kind (an image's is its config's) and all its annotations. */
function entryOf(bytes: Uint8Array, mediaType: string): { readonly subject: Digest; readonly entry: Descriptor } {
  const document = isIndexType(mediaType) ? parseIndex(bytes) : parseManifest(bytes);
  if (document.subject === undefined)
    throw new WorkerError('MANIFEST_INVALID', 'a manifest to push as a referrer names no subject');
  const artifactType = document.artifactType ?? ('config' in document ? document.config.mediaType : undefined);
  const entry: Descriptor = {
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(document.annotations !== undefined && { annotations: document.annotations }),
  };
  return { subject: document.subject.digest, entry };
}

async function addToFallback(
  transport: Transport,
  repository: Repository,
  subject: Digest,
  entry: Descriptor,
  { signal }: Cancelable,
): Promise<void> {
  const isListed = (entries: readonly Descriptor[]) => entries.some(({ digest }) => digest === entry.digest);
  const tag = fallbackTagOf(subject);
  let now = await readFallback(transport, repository, subject, { signal });
  for (let races = 0; !isListed(now.entries); races++) {
    if (races === RACES)
      throw new WorkerError(
        'REGISTRY_RACE_LOST',
        `${repository.registry}/${repository.repository}:${tag}: other writers replaced the list of referrers ${RACES} times`,
        { subject, digest: entry.digest },
      );
    if (races > 0) await transport.shortPause({ signal });
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [...now.documents, entry] };
    const bytes = Buffer.from(JSON.stringify(document));
    await putManifest(transport, repository, tag, bytes, MEDIA_TYPES.ociIndex, { signal });
    now = await readFallback(transport, repository, subject, { signal });
  }
}

interface Fallback {
  readonly entries: readonly Descriptor[];
  /** The same as they are written, with fields that are not ours. */
  readonly documents: readonly unknown[];
}

async function readFallback(
  transport: Transport,
  repository: Repository,
  subject: Digest,
  { signal }: Cancelable,
): Promise<Fallback> {
  const tag = fallbackTagOf(subject);
  const found = await getManifestIfAny(transport, repository, tag, { signal });
  if (found === undefined) return { entries: [], documents: [] };
  if (!isIndexType(found.mediaType))
    throw new WorkerError('MANIFEST_INVALID', `${tag} should list referrers and is a ${found.mediaType}`, { subject });
  const entries = parseIndex(found.bytes).manifests;
  const { manifests } = JSON.parse(Buffer.from(found.bytes).toString()) as { manifests: readonly unknown[] | null };
  return { entries, documents: manifests ?? [] };
}

function indexIn(bytes: Buffer, doing: string): readonly Descriptor[] {
  try {
    return parseIndex(bytes).manifests;
  } catch (cause) {
    throw new WorkerError('REGISTRY_PROTOCOL', `${doing}: the answer is no list of referrers`, {}, { cause });
  }
}
