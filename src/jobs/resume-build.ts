import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';
import type { Json } from '../queue/index.ts';
import type { BuildJournal } from './build-journal.ts';
import type { BuildResult, ImageBuild } from './build-request.ts';
import {
  isFenceLost,
  makeVisible,
  publishedBefore,
  setTag,
  type TagTarget,
  type VisibleContext,
} from './make-visible.ts';
import { fenceLost, type PointerContent, PointerSchema, type ReadPointer, readPointer, storeKeys } from './publish.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'not a digest');

/** What `begun` holds: the pointer that the build is held to; no etag: the image had none. */
const Begun = z.object({ etag: z.string().optional(), pointer: PointerSchema.optional() });

/** What `staged` holds: all that is missing is pointer and tag. */
const Staged = z.object({
  top: z.object({ digest, mediaType: z.string() }),
  content: PointerSchema.pick({ indexDigest: true, archives: true }),
  /** A BuildResult without its generation. */
  result: z.looseObject({ manifestDigest: digest }),
});
type Staged = z.infer<typeof Staged>;

export type StagedResult = Omit<BuildResult, 'generation'>;

/** How a build goes on after its journal was read: it has ended, or it runs against this pointer. */
export type Resumed =
  | { readonly result: BuildResult }
  | { readonly result?: undefined; readonly before: ReadPointer | undefined };

interface Names {
  readonly request: ImageBuild;
  readonly tag: string;
  readonly storageRef: string;
}

/**
 * Takes up a build at what earlier attempts finished. What a dead or paused process published is found in the pointer and
 * never published again; what it staged is published now. Throws FENCE_LOST when another build moved the pointer since the
 * first attempt read it.
 */
export async function resumeBuild(names: Names, context: VisibleContext): Promise<Resumed> {
  const { journal, signal, store } = context;
  const key = storeKeys.pointer(names.request.workspaceId, names.request.imageId);
  if (journal === undefined) return { before: await readPointer(store, key, { signal }) };
  const published = await finishPublished(names, journal, context);
  if (published !== undefined) return { result: published };
  const now = await readPointer(store, key, { signal });
  const begun = latest(Begun, journal.read('begun'));
  if (begun === undefined) {
    await journal.write('begun', jsonOf(now === undefined ? {} : { etag: now.etag, pointer: now.pointer }));
    return { before: now };
  }
  if (begun.etag !== now?.etag) throw fenceLost(key, now?.pointer.generation);
  const staged = latest(Staged, journal.read('staged'));
  const top = staged === undefined ? undefined : await stillThere(staged, names, context);
  if (staged === undefined || top === undefined) return { before: now };
  const { request, storageRef } = names;
  const tag = registryTagOf(names);
  const visible = { target: request.target, tag, key, storageRef, before: now, content: staged.content, top };
  return { result: { ...resultOf(staged), generation: await makeVisible(visible, context) } };
}

/**
 * The result of the publication that another attempt of this job made; its tag is set unless something newer is there.
 * undefined when there is none.
 */
async function finishPublished(
  names: Names,
  journal: BuildJournal,
  context: VisibleContext,
): Promise<BuildResult | undefined> {
  const { client, report, signal } = context;
  const { request, storageRef } = names;
  const tag = registryTagOf(names);
  const key = storeKeys.pointer(request.workspaceId, request.imageId);
  const published = await publishedBefore(key, journal.jobId, context);
  if (published === undefined) return undefined;
  const { generation, indexDigest, isCurrent } = published;
  const staged = all(Staged, journal.read('staged')).findLast((one) => one.content.indexDigest === indexDigest);
  if (staged === undefined) return undefined;
  if (isCurrent) {
    const { bytes, mediaType } = await client.getManifest(request.target, indexDigest, { signal });
    await setTag(
      { key, storageRef, tag, target: request.target, top: { digest: indexDigest, bytes, mediaType } },
      context,
    );
    if (tag !== undefined) report({ type: 'published', what: 'tag', name: storageRef });
    await journal.write('tagged', { generation });
  }
  return { ...resultOf(staged), generation };
}

function registryTagOf({ request, tag }: Names): string | undefined {
  return request.isUntagged === true ? undefined : tag;
}

/** A build that lost the fence to another attempt of its own job has that attempt's result. Else throws what was thrown. */
export async function yieldToOwn(thrown: unknown, names: Names, context: VisibleContext): Promise<BuildResult> {
  const { journal } = context;
  const own = isFenceLost(thrown) && journal !== undefined ? await finishPublished(names, journal, context) : undefined;
  if (own === undefined) throw thrown;
  return own;
}

/** Writes down that all is in its place. */
export async function journalStaged(
  journal: BuildJournal | undefined,
  { content, result, top }: { content: PointerContent; result: StagedResult; top: Omit<TagTarget, 'bytes'> },
): Promise<void> {
  await journal?.write('staged', jsonOf({ content, result, top }));
}

/** What was staged may have been cleared away since: then it is made again. */
async function stillThere(
  { content, top }: Staged,
  { request: { alsoAs, target } }: Names,
  { client, signal, store }: VisibleContext,
): Promise<TagTarget | undefined> {
  for (const archive of Object.values(content.archives)) {
    const found = await store.head(storeKeys.archive(archive.digest), { signal });
    const manifest = await client.headManifest(target, archive.manifestDigest, { signal });
    if (found?.sizeBytes !== archive.sizeBytes || manifest === undefined) return undefined;
  }
  if (alsoAs !== undefined && (await store.head(alsoAs, { signal })) === undefined) return undefined;
  if ((await client.headManifest(target, top.digest, { signal })) === undefined) return undefined;
  const { bytes } = await client.getManifest(target, top.digest, { signal });
  return { ...top, bytes };
}

function resultOf({ result }: Staged): StagedResult {
  return result as unknown as StagedResult; // as `journalStaged` wrote it
}

function all<T>(schema: z.ZodType<T>, written: readonly Json[]): readonly T[] {
  return written.flatMap((data) => schema.safeParse(data).data ?? []);
}

/** Entries that another version wrote in another shape are as if they were not there. */
function latest<T>(schema: z.ZodType<T>, written: readonly Json[]): T | undefined {
  return all(schema, written).at(-1);
}

function jsonOf(value: object): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
