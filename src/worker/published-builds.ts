import { z } from 'zod';
import type { Cancelable } from '../errors/index.ts';
import { type BuildResult, readPointer, storeKeys } from '../jobs/index.ts';
import { type ObjectStore, readJson } from '../objects/index.ts';
import type { Job, Json } from '../queue/index.ts';
import { parseReference, type RegistryClient } from '../registry/index.ts';

const MAX_BYTES = 16 * 1024 * 1024;
/** A key, and what makes the key of a build that shares nothing its own. */
const KEY = /^([0-9a-f]{64})(?:\..*)?$/;

const publishedBuild = z.object({
  version: z.literal(1),
  key: z.string(),
  workspaceId: z.string(),
  imageId: z.string(),
  publishedAtMs: z.number(),
  storageRef: z.string(),
  manifestDigest: z.string(),
  archives: z.array(z.object({ digest: z.string(), sizeBytes: z.number() })),
  /** The document of `clipyard build --json`. */
  result: z.json(),
});

/** What is kept of a published build under its key: `builds/<workspace>/<key>.json` in the store. */
export type PublishedBuild = Readonly<z.infer<typeof publishedBuild>>;

export interface PublishedContext extends Cancelable {
  readonly store: ObjectStore;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Remembers what a build's key led to; called by who published it, once the tag is set. A result that is not remembered costs
 * a build, so a failure here fails nothing else.
 */
export async function recordPublished(
  job: Pick<Job, 'workspaceId' | 'imageId' | 'key'>,
  result: BuildResult,
  { now, signal, store }: PublishedContext,
): Promise<void> {
  const key = plainKey(job.key);
  if (key === undefined) return;
  const record: PublishedBuild = {
    version: 1,
    key,
    workspaceId: job.workspaceId,
    imageId: job.imageId,
    publishedAtMs: now(),
    storageRef: result.storageRef,
    manifestDigest: result.manifestDigest,
    archives: result.archives.map(({ digest, sizeBytes }) => ({ digest, sizeBytes })),
    result: JSON.parse(JSON.stringify(result)) as Json & z.core.util.JSONType,
  };
  const bytes = Buffer.from(`${JSON.stringify(record)}\n`);
  await store.put(keyOf(job.workspaceId, key), bytes, { contentType: 'application/json', signal });
}

/**
 * The published build with this key, if it is still what its image is: the pointer and the tag name its manifest, and its
 * archives are in the store, one of them under its second name `alsoAs` where that was asked for. undefined otherwise, and
 * when it is older than `maxAgeMs`.
 */
export async function findPublished(
  job: Pick<Job, 'workspaceId' | 'imageId' | 'key'>,
  {
    alsoAs,
    client,
    maxAgeMs,
    now,
    signal,
    store,
  }: PublishedContext & {
    readonly alsoAs: string | undefined;
    readonly client: RegistryClient;
    readonly maxAgeMs: number | undefined;
  },
): Promise<PublishedBuild | undefined> {
  const key = plainKey(job.key);
  if (key === undefined || maxAgeMs === 0) return undefined;
  const build = await readPublished(job.workspaceId, key, { signal, store });
  if (build === undefined || (maxAgeMs !== undefined && now() - build.publishedAtMs > maxAgeMs)) return undefined;
  if (build.imageId !== job.imageId) return undefined;
  const pointer = await readPointer(store, storeKeys.pointer(job.workspaceId, job.imageId), { signal });
  if (pointer?.pointer.indexDigest !== build.manifestDigest) return undefined;
  for (const { digest, sizeBytes } of Object.values(pointer.pointer.archives)) {
    if ((await store.head(storeKeys.archive(digest), { signal }))?.sizeBytes !== sizeBytes) return undefined;
  }
  if (alsoAs !== undefined && !(await isNamed(alsoAs, build, { signal, store }))) return undefined;
  const { tag = 'latest', ...repository } = parseReference(build.storageRef);
  const manifest = await client.headManifest(repository, tag, { signal });
  return manifest?.digest === build.manifestDigest ? build : undefined;
}

/** Whether a second name still has an archive of the build: another build of the workspace may have taken it over. */
async function isNamed(
  name: string,
  { archives }: PublishedBuild,
  { signal, store }: Cancelable & { readonly store: ObjectStore },
): Promise<boolean> {
  const there = await store.head(name, { signal });
  return archives.some(
    ({ digest, sizeBytes }) => sizeBytes === there?.sizeBytes && (there.sha256 ?? digest) === digest,
  );
}

/** What is kept under a key; undefined when nothing is, or nothing that this version reads. */
export async function readPublished(
  workspaceId: string,
  key: string,
  { signal, store }: Cancelable & { readonly store: ObjectStore },
): Promise<PublishedBuild | undefined> {
  const name = keyOf(workspaceId, key);
  const parse = (value: unknown) => publishedBuild.safeParse(value).data;
  const found = await readJson(store, name, { maxBytes: MAX_BYTES, parse, signal, what: 'record of a build' });
  const build = found?.content;
  return build?.key === key && build.workspaceId === workspaceId ? build : undefined;
}

function plainKey(key: string): string | undefined {
  return KEY.exec(key)?.[1];
}

function keyOf(workspaceId: string, key: string): string {
  return `builds/${workspaceId}/${key}.json`;
}
