import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseImageId, parseImageTag, parseWorkspaceId, type WorkspaceId } from '../archive/index.ts';
import { type Digest, hexOf, parseDigest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { DEFAULT_CHUNK_BYTES } from '../indexer/index.ts';
import {
  type IndexContext,
  type IndexResult,
  indexImage,
  movePointer,
  type PointerContent,
  putOnce,
  readPointer,
  storeKeys,
} from '../jobs/index.ts';
import { type ObjectStore, readJson } from '../objects/index.ts';
import { formatPlatform, localPlatform, parsePlatform } from '../oci/index.ts';
import { formatReference, parseReference, type Reference, type Repository } from '../registry/index.ts';
import type { Archives, ArchiveView } from './api.ts';
import { wholeName } from './policy/image-name.ts';
import { requireSource } from './policy/sources.ts';
import type { WorkerPolicy } from './policy/worker-policy.ts';
import { WorkspaceTurns } from './workspace-turns.ts';

export interface ArchivesOptions extends Omit<IndexContext, 'signal'> {
  readonly store: ObjectStore;
  readonly policy: WorkerPolicy;
  /** The worker's repository: images of other workspaces in it are not to be had. */
  readonly target: Repository;
  /** For archives until they are stored; made when missing. */
  readonly scratchDir: string;
  /** Throws when this machine has no room for more. */
  readonly requireRoom: () => Promise<void>;
  /** Cores for indexing. */
  readonly jobs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

type Entry = PointerContent['archives'][string];

const MAX_BYTES = 1 << 20;
/** Images that are indexed at once, each with all cores, beside the builds. */
const INDEX_TURNS = { perWorkspace: 1, atOnce: 2 };
const stored = z.object({
  platform: z.string(),
  digest: z.string(),
  sizeBytes: z.number(),
  storageRef: z.string(),
  footerDigest: z.string().optional(),
  manifestDigest: z.string(),
});

/** Archives of workspaces in one store. */
export function createArchives(options: ArchivesOptions): Archives {
  const turns = new WorkspaceTurns(INDEX_TURNS);
  return {
    resolve: (workspaceId, image, more) => resolve(parseWorkspaceId(workspaceId), image, { ...options, ...more }),
    indexImage: async (workspaceId, request, more) => {
      const workspace = parseWorkspaceId(workspaceId);
      return await turns.run(workspace, () => indexFor(workspace, request, { ...options, ...more }), more.signal);
    },
  };
}

async function resolve(
  workspaceId: WorkspaceId,
  image: { readonly imageId: string } | { readonly manifestDigest: string },
  context: ArchivesOptions & Cancelable & { readonly platform?: string },
): Promise<{ readonly archives: readonly ArchiveView[]; readonly generation: number }> {
  const { entries, generation } =
    'imageId' in image
      ? await ofImage(workspaceId, image.imageId, context)
      : { entries: await ofManifest(workspaceId, parseDigest(image.manifestDigest), context), generation: 0 };
  const wanted = context.platform === undefined ? undefined : formatPlatform(parsePlatform(context.platform));
  const chosen = entries.filter(([platform]) => wanted === undefined || platform === wanted);
  if (chosen.length === 0)
    throw new WorkerError('PLATFORM_NOT_FOUND', `the image has no archive for ${wanted ?? 'any platform'}`);
  const archives = [];
  for (const [platform, entry] of chosen) archives.push(await viewOf(platform, entry, context));
  return { archives, generation };
}

type Entries = readonly (readonly [platform: string, entry: Entry])[];

async function ofImage(
  workspaceId: WorkspaceId,
  imageId: string,
  { signal, store }: ArchivesOptions & Cancelable,
): Promise<{ readonly entries: Entries; readonly generation: number }> {
  const found = await readPointer(store, storeKeys.pointer(workspaceId, parseImageId(imageId)), { signal });
  if (found === undefined) throw notFound(`image ${imageId}`);
  return { entries: Object.entries(found.pointer.archives), generation: found.pointer.generation };
}

/** Manifests have one object for all workspaces: whose one is, its storage reference says. */
async function ofManifest(
  workspaceId: WorkspaceId,
  manifest: Digest,
  context: ArchivesOptions & Cancelable,
): Promise<Entries> {
  for (const key of [indexedKey(workspaceId, manifest), storeKeys.manifest(manifest)]) {
    const entry = await readStored(key, context);
    if (entry === undefined) continue;
    const isOwn = key !== storeKeys.manifest(manifest) || ownerOf(parseReference(entry.storageRef)) === workspaceId;
    if (isOwn) return [[entry.platform, entry]];
  }
  throw notFound(`manifest ${manifest}`);
}

async function readStored(key: string, { signal, store }: ArchivesOptions & Cancelable) {
  const parse = (value: unknown) => stored.parse(value) as z.infer<typeof stored> & Entry;
  const found = await readJson(store, key, { maxBytes: MAX_BYTES, parse, signal, what: 'record of an archive' });
  return found?.content;
}

async function indexFor(
  workspaceId: WorkspaceId,
  request: { readonly reference: string; readonly platform?: string; readonly imageId?: string },
  context: ArchivesOptions & Cancelable,
): Promise<Awaited<ReturnType<Archives['indexImage']>>> {
  const { jobs, requireRoom, scratchDir, signal, store } = context;
  const reference = parseReference(request.reference);
  requireReadable(reference, workspaceId, context);
  await requireRoom();
  const imageId = request.imageId === undefined ? undefined : parseImageId(request.imageId);
  const pointerKey = imageId === undefined ? undefined : storeKeys.pointer(workspaceId, imageId);
  const before = pointerKey === undefined ? undefined : await readPointer(store, pointerKey, { signal });
  const platform = request.platform === undefined ? localPlatform() : parsePlatform(request.platform);
  const output = join(scratchDir, `index-${randomUUID()}.clip`);
  await makeDirectory(scratchDir);
  try {
    const result = await indexImage(
      {
        source: { kind: 'docker', reference },
        storage: reference,
        output,
        platform,
        platformAsked: request.platform !== undefined,
        engine: 'auto',
        jobs,
        chunkBytes: DEFAULT_CHUNK_BYTES,
        useCache: true,
        format: 'clipyard',
      },
      context,
    );
    const name = formatPlatform(platform);
    const entry = entryOf(result);
    await putArchive(result, output, context);
    const document = `${JSON.stringify({ version: 1, platform: name, ...entry })}\n`;
    await store.put(indexedKey(workspaceId, result.manifestDigest), document, {
      contentType: 'application/json',
      signal,
    });
    if (pointerKey !== undefined) {
      const content = { indexDigest: result.manifestDigest, archives: { [name]: entry } };
      await movePointer(store, pointerKey, before, content, { signal });
    }
    const { durationMs, plainBytes } = result;
    return { archive: await viewOf(name, entry, context), entries: result.archive.entries, plainBytes, durationMs };
  } finally {
    await rm(output, { force: true });
  }
}

/** Throws SOURCE_DENIED: what builds may not read, nobody gets by an archive either. */
function requireReadable(reference: Reference, workspaceId: WorkspaceId, { policy, target }: ArchivesOptions): void {
  requireSource(`docker-image://${wholeName(formatReference(reference))}`, policy);
  const isWorkers = reference.registry === target.registry && reference.repository === target.repository;
  if (isWorkers && ownerOf(reference) !== workspaceId)
    throw new WorkerError('SOURCE_DENIED', `${formatReference(reference)} is no image of workspace ${workspaceId}`);
}

/** The workspace that a tag belongs to; undefined where it is none of ours. */
function ownerOf({ tag }: Reference): WorkspaceId | undefined {
  try {
    return parseImageTag(tag ?? '').workspaceId;
  } catch {
    return undefined;
  }
}

async function putArchive(
  { archive: { digest, sizeBytes } }: IndexResult,
  path: string,
  { signal, store }: ArchivesOptions & Cancelable,
): Promise<void> {
  const key = storeKeys.archive(digest);
  const sizeNow = async () => (await store.head(key, { signal }))?.sizeBytes ?? -1;
  if ((await sizeNow()) === sizeBytes) return;
  const contentType = 'application/vnd.clipyard.archive.v1';
  await putOnce(() => store.putFile(key, path, { ifNoneMatch: '*', sha256: digest, contentType, signal }), sizeNow, {
    key,
    sizeBytes,
  });
}

function entryOf({ archive, manifestDigest, storageRef }: IndexResult): Entry {
  return { digest: archive.digest, sizeBytes: archive.sizeBytes, storageRef, manifestDigest };
}

async function viewOf(
  platform: string,
  { digest, manifestDigest, sizeBytes, storageRef }: Entry,
  { now, signal, store }: ArchivesOptions & Cancelable,
): Promise<ArchiveView> {
  const key = storeKeys.archive(digest);
  const href = (await store.readAddress(key, { signal }))?.reveal();
  const url = href === undefined ? undefined : { href, expiresAtMs: expiryOf(href, now()) };
  return { platform, uri: store.urlOf(key), digest, sizeBytes, storageRef, manifestDigest, url };
}

/** What the signature says (AWS Signature Version 4, "X-Amz-Expires"). */
function expiryOf(href: string, nowMs: number): number {
  const seconds = Number(new URL(href).searchParams.get('X-Amz-Expires') ?? 0);
  return nowMs + (Number.isSafeInteger(seconds) ? seconds : 0) * 1000;
}

/** Of one workspace: what an index made, nobody published as an image. */
function indexedKey(workspaceId: WorkspaceId, manifest: Digest): string {
  return `indexed/${workspaceId}/sha256-${hexOf(manifest)}.json`;
}

function notFound(what: string): WorkerError {
  return new WorkerError('STORE_OBJECT_NOT_FOUND', `the workspace has no archive of ${what}`);
}
