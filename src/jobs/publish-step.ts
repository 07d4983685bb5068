import { WorkerError } from '../errors/index.ts';
import type { AssembleResult } from '../indexer/index.ts';
import { type ObjectStore, readObject } from '../objects/index.ts';
import type { PlannedAttestation } from './attestations.ts';
import type { ImageBuild } from './build-request.ts';
import type { PlannedManifest } from './image-plan.ts';
import { makeVisible, type VisibleContext } from './make-visible.ts';
import { type PointerContent, putOnce, type ReadPointer, storeKeys } from './publish.ts';
import { putSecondName } from './second-name.ts';

/** One platform's finished archive, still under its temporary name. */
export interface AssembledArchive {
  readonly platform: string;
  readonly path: string;
  readonly result: AssembleResult;
  readonly manifest: PlannedManifest;
}

export interface Publication {
  readonly request: ImageBuild;
  readonly tag: string;
  readonly storageRef: string;
  /** The pointer as it was when the build began. */
  readonly before: ReadPointer | undefined;
  /** What the tag will name: the index, or the only manifest. */
  readonly top: PlannedManifest;
  readonly archives: readonly AssembledArchive[];
  readonly attestations: readonly PlannedAttestation[];
  /** The build record, argument values redacted. */
  readonly record: object;
}

export interface PublishContext extends VisibleContext {
  /** Called when all is in its place and nothing names it yet; nothing is published before it returns. */
  readonly onStaged?: ((content: PointerContent) => Promise<void>) | undefined;
}

/**
 * Makes a build visible, each step only when all it needs is there: manifests by digest → archives (and the second name) →
 * manifest objects → pointer (the fence) → tag. Throws FENCE_LOST when a newer build moved the pointer; the tag is then left alone.
 */
export async function publish(
  publication: Publication,
  context: PublishContext,
): Promise<{ readonly generation: number; readonly bytes: number }> {
  const { archives, attestations, before, request, storageRef, top } = publication;
  const { client, onStaged, report, signal } = context;
  const { target, workspaceId, imageId } = request;
  const manifests = [...archives, ...attestations].map(({ manifest }) => manifest);
  for (const { bytes, descriptor } of isSame(manifests, top) ? manifests : [...manifests, top]) {
    await client.putManifest(target, descriptor.digest, bytes, descriptor.mediaType, { signal });
    report({ type: 'published', what: 'manifest', name: descriptor.digest });
  }
  let bytes = 0;
  for (const archive of archives) bytes += await publishArchive(archive, publication, context);
  bytes += await publishSecondName(publication, context);

  const content: PointerContent = {
    indexDigest: top.descriptor.digest,
    archives: Object.fromEntries(archives.map((archive) => [archive.platform, pointerEntry(archive, storageRef)])),
  };
  await onStaged?.(content);
  const key = storeKeys.pointer(workspaceId, imageId);
  const named = { digest: top.descriptor.digest, bytes: top.bytes, mediaType: top.descriptor.mediaType };
  const tag = request.isUntagged === true ? undefined : publication.tag;
  const generation = await makeVisible({ target, tag, key, storageRef, before, content, top: named }, context);
  return { generation, bytes };
}

async function publishArchive(
  archive: AssembledArchive,
  { record, storageRef }: Publication,
  { report, signal, store }: PublishContext,
): Promise<number> {
  const { digest, sizeBytes } = archive.result;
  const key = storeKeys.archive(digest);
  // Looking first saves the upload of an unchanged archive; the condition decides when two builds race.
  const outcome =
    (await store.head(key, { signal }))?.sizeBytes === sizeBytes
      ? 'present'
      : await putArchive(archive, { signal, store });
  report({ type: 'published', what: 'archive', name: store.urlOf(key) });
  await putIfChanged(store, storeKeys.record(digest), record, signal);
  report({ type: 'published', what: 'record', name: store.urlOf(storeKeys.record(digest)) });
  const manifest = {
    version: 1,
    platform: archive.platform,
    ...pointerEntry(archive, storageRef),
  };
  await putIfChanged(store, storeKeys.manifest(archive.manifest.descriptor.digest), manifest, signal);
  return outcome === 'sent' ? sizeBytes : 0;
}

/** One name for one archive. Throws USAGE where a build gave several. */
async function publishSecondName(
  { archives, request: { alsoAs } }: Publication,
  { report, signal, store }: PublishContext,
): Promise<number> {
  if (alsoAs === undefined) return 0;
  const [archive, another] = archives;
  if (archive === undefined || another !== undefined)
    throw new WorkerError('USAGE', `--also-as ${alsoAs} names one archive, and there are ${archives.length}`);
  const { path, result } = archive;
  await putSecondName(store, alsoAs, { path, sha256: result.digest, contentType: contentTypeOf(result) }, { signal });
  report({ type: 'published', what: 'archive', name: store.urlOf(alsoAs) });
  return result.sizeBytes;
}

async function putArchive(
  { path, result }: AssembledArchive,
  { signal, store }: Pick<PublishContext, 'signal' | 'store'>,
): Promise<'sent' | 'present'> {
  const key = storeKeys.archive(result.digest);
  return await putOnce(
    () =>
      store.putFile(key, path, {
        ifNoneMatch: '*',
        sha256: result.digest,
        contentType: contentTypeOf(result),
        signal,
      }),
    async () => (await store.head(key, { signal }))?.sizeBytes ?? -1,
    { key, sizeBytes: result.sizeBytes },
  );
}

/** Small objects that say the same for the same archive: written once, and again only when they differ. */
async function putIfChanged(store: ObjectStore, key: string, value: object, signal: AbortSignal): Promise<void> {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  if ((await store.head(key, { signal })) !== undefined) {
    const { bytes } = await readObject(store, key, { signal, maxBytes: 1 << 20 });
    if (body.equals(bytes)) return;
  }
  await store.put(key, body, { contentType: 'application/json', signal });
}

/** A V1 archive is CLIP's alone. */
function contentTypeOf({ footerDigest }: AssembleResult): string {
  return footerDigest === undefined ? 'application/octet-stream' : 'application/vnd.clipyard.archive.v1';
}

function pointerEntry({ manifest, result }: AssembledArchive, storageRef: string): PointerContent['archives'][string] {
  return {
    digest: result.digest,
    sizeBytes: result.sizeBytes,
    storageRef,
    ...(result.footerDigest !== undefined && { footerDigest: result.footerDigest }),
    manifestDigest: manifest.descriptor.digest,
  };
}

function isSame(manifests: readonly PlannedManifest[], top: PlannedManifest): boolean {
  return manifests.some(({ descriptor }) => descriptor.digest === top.descriptor.digest);
}
