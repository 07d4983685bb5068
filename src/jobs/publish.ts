import { z } from 'zod';
import { type Digest, hexOf, isDigest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { type ObjectStore, readJson } from '../objects/index.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'not a digest');

/** The pointer object: which archives an image has now. Its generation is the fence between builds (docs/semantics.md). */
export const PointerSchema = z.object({
  version: z.literal(1),
  generation: z.number().int().positive(),
  indexDigest: digest,
  archives: z.record(
    z.string(),
    z.object({
      digest,
      sizeBytes: z.number().int(),
      storageRef: z.string(),
      /** Absent for a V1 archive, which has no footer. */
      footerDigest: digest.optional(),
      manifestDigest: digest,
    }),
  ),
  /** The last generations that jobs of a queue published: a job that was taken over finds its own. */
  jobs: z
    .array(z.object({ jobId: z.string(), generation: z.number().int().positive(), indexDigest: digest }))
    .optional(),
});
export type Pointer = z.infer<typeof PointerSchema>;
export type PointerContent = Omit<Pointer, 'version' | 'generation' | 'jobs'>;
export type Publication = NonNullable<Pointer['jobs']>[number];

/** Kept in the pointer: a job whose worker died is taken over within minutes. */
const MAX_PUBLICATIONS = 8;

/** Object names; a key is never the folder of another. */
export const storeKeys = {
  archive: (archive: Digest) => `archives/${hexOf(archive)}.clip`,
  record: (archive: Digest) => `archives/${hexOf(archive)}.json`,
  pointer: (workspaceId: string, imageId: string) => `images/${workspaceId}/${imageId}.json`,
  manifest: (manifest: Digest) => `manifests/sha256-${hexOf(manifest)}.json`,
  /** Of an image of a workspace. */
  profiles: (workspaceId: string, imageId: string) => `profiles/${workspaceId}/${imageId}`,
  /** Of an image that is named by where it lies in a registry: tags move, the repository stays. */
  registryProfiles: (registry: string, repository: string) => `registry-profiles/${registry}/${repository}`,
};

export interface ReadPointer {
  readonly etag: string;
  readonly pointer: Pointer;
}

/** The image's pointer, undefined when it was never published. Throws STORE_PROTOCOL when the object is no pointer. */
export async function readPointer(
  store: ObjectStore,
  key: string,
  { signal }: Cancelable,
): Promise<ReadPointer | undefined> {
  const parse = (value: unknown) => PointerSchema.parse(value);
  const found = await readJson(store, key, { maxBytes: 1 << 20, parse, signal, what: 'pointer object' });
  return found === undefined ? undefined : { etag: found.etag, pointer: found.content };
}

/**
 * Moves the pointer from what was read at the start of the build to `content`. Throws FENCE_LOST when another build moved
 * it meanwhile: that build is the newer one, and this one must not set the tag.
 */
export async function movePointer(
  store: ObjectStore,
  key: string,
  before: ReadPointer | undefined,
  content: PointerContent,
  { signal, jobId }: Cancelable & { readonly jobId?: string | undefined },
): Promise<Pointer> {
  if (before !== undefined && sameContent(before.pointer, content)) {
    const now = await readPointer(store, key, { signal });
    if (now?.etag === before.etag) return before.pointer;
    throw fenceLost(key, now?.pointer.generation);
  }
  const generation = (before?.pointer.generation ?? 0) + 1;
  const jobs = publicationsOf(before?.pointer, content, { jobId, generation });
  const next: Pointer = { version: 1, generation, ...content, ...(jobs.length > 0 && { jobs }) };
  const condition = before === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: before.etag };
  try {
    await store.put(key, Buffer.from(`${JSON.stringify(next)}\n`), {
      ...condition,
      contentType: 'application/json',
      signal,
    });
    return next;
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'STORE_CONFLICT') throw thrown;
    const now = await readPointer(store, key, { signal });
    // A repeated PUT whose first answer was lost conflicts with itself.
    if (now !== undefined && now.pointer.generation === next.generation && sameContent(now.pointer, content))
      return now.pointer;
    throw fenceLost(key, now?.pointer.generation, thrown);
  }
}

/** What the job published, as far back as the pointer remembers. */
export function publicationOf(pointer: Pointer, jobId: string): Publication | undefined {
  return pointer.jobs?.findLast((publication) => publication.jobId === jobId);
}

function publicationsOf(
  before: Pointer | undefined,
  { indexDigest }: PointerContent,
  { jobId, generation }: { readonly jobId: string | undefined; readonly generation: number },
): Publication[] {
  const known = before?.jobs ?? [];
  return jobId === undefined ? known : [...known, { jobId, generation, indexDigest }].slice(-MAX_PUBLICATIONS);
}

export function fenceLost(key: string, generation = 0, cause?: unknown): WorkerError {
  return new WorkerError(
    'FENCE_LOST',
    `${key} moved to generation ${generation} while this build ran`,
    { key, generation },
    { cause },
  );
}

function sameContent(pointer: Pointer, content: PointerContent): boolean {
  const normal = ({ indexDigest, archives }: PointerContent) =>
    JSON.stringify([
      indexDigest,
      Object.entries(archives)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, a]) => [name, a.digest, a.sizeBytes, a.storageRef, a.footerDigest, a.manifestDigest]),
    ]);
  return normal(pointer) === normal(content);
}

/** Puts a content-addressed object that may be there already: then an equal size is success. Says whether bytes went out. */
export async function putOnce(
  put: () => Promise<unknown>,
  existingSize: () => Promise<number>,
  want: { readonly key: string; readonly sizeBytes: number },
): Promise<'sent' | 'present'> {
  try {
    await put();
    return 'sent';
  } catch (thrown) {
    if (!(thrown instanceof WorkerError) || thrown.code !== 'STORE_CONFLICT') throw thrown;
    const sizeBytes = await existingSize();
    if (sizeBytes === want.sizeBytes) return 'present';
    throw new WorkerError(
      'STORE_PROTOCOL',
      `${want.key} is there with ${sizeBytes} bytes instead of ${want.sizeBytes}`,
      {},
      { cause: thrown },
    );
  }
}
