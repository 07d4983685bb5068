import { imageTag, parseImageId, parseWorkspaceId } from '../../../src/archive/index.ts';
import { type BuildResult, type Pointer, readPointer, storeKeys } from '../../../src/jobs/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { createRegistryClient, NO_CREDENTIALS } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import type { WatchedBuild } from './client.ts';
import type { PlannedBuild } from './plan.ts';
import type { Stage } from './stage.ts';

const { signal } = new AbortController();

export const nameOf = ({ imageId, workspaceId }: Pick<PlannedBuild, 'imageId' | 'workspaceId'>): string =>
  `${workspaceId}/${imageId}`;

/** What the world sees of an image. */
interface Public {
  readonly name: string;
  readonly pointer: Pointer | undefined;
  /** Digest of the manifest that the tag names. */
  readonly tagged: string | undefined;
  /** What the pointer names and is not there. */
  readonly missing: readonly string[];
}

/** Each image was published once, and of what was canceled there is nothing, or all of it. */
export async function checkPublications(watched: readonly WatchedBuild[], stage: Stage): Promise<string[]> {
  const images = Map.groupBy(watched, ({ planned }) => nameOf(planned));
  const problems: string[] = [];
  for (const builds of images.values()) {
    const [first] = builds;
    if (first === undefined) continue;
    const seen = await look(first.planned, stage);
    const done = builds.filter(({ build }) => build.state === 'done');
    problems.push(...seen.missing.map((what) => `${seen.name}: its pointer names ${what}, which is not there`));
    problems.push(...(done.length > 0 ? checkDone(seen, done, builds.length - done.length) : checkCanceled(seen)));
  }
  return problems;
}

async function look({ imageId, workspaceId }: PlannedBuild, stage: Stage): Promise<Public> {
  await using store = openStore(stage.env['CLIPYARD_STORE'] ?? '', { ...process.env, ...stage.env });
  await using client = createRegistryClient({ credentials: NO_CREDENTIALS, plainHttp: false, log: silentLog() });
  const target = { registry: stage.registry, repository: 'clipyard' };
  const pointer = (await readPointer(store, storeKeys.pointer(workspaceId, imageId), { signal }))?.pointer;
  const missing: string[] = [];
  if (pointer !== undefined) {
    if ((await client.headManifest(target, pointer.indexDigest, { signal })) === undefined)
      missing.push(`manifest ${pointer.indexDigest}`);
    for (const { digest } of Object.values(pointer.archives))
      if ((await store.head(storeKeys.archive(digest), { signal })) === undefined) missing.push(`archive ${digest}`);
  }
  const tag = imageTag(parseWorkspaceId(workspaceId), parseImageId(imageId));
  const tagged = (await client.headManifest(target, tag, { signal }))?.digest;
  return { name: nameOf({ imageId, workspaceId }), pointer, tagged, missing };
}

/**
 * Pointer, tag and what the builds were told agree. A canceled one may have been published as it was canceled; an equal one that came
 * later, and found BuildKit's cache gone, then was the second.
 */
function checkDone({ name, pointer, tagged }: Public, done: readonly WatchedBuild[], canceled: number): string[] {
  const problems: string[] = [];
  for (const { build } of done) {
    const { generation, manifestDigest } = build.result as unknown as BuildResult;
    const published = pointer?.jobs?.length ?? 0;
    if (pointer?.generation !== generation || published !== generation || generation > 1 + canceled)
      problems.push(
        `${name}: generation ${pointer?.generation ?? 0} in the pointer, by ${published} jobs, and ${generation} in the result`,
      );
    if (pointer?.indexDigest !== manifestDigest) problems.push(`${name}: the pointer names another manifest`);
    if (tagged !== manifestDigest)
      problems.push(`${name}: the tag names ${tagged ?? 'nothing'}, not ${manifestDigest}`);
  }
  return problems;
}

/** Only a tag may be missing: where the worker died between pointer and tag, and the build was canceled before the next took it. */
function checkCanceled({ name, pointer, tagged }: Public): string[] {
  if (tagged === undefined || tagged === pointer?.indexDigest) return [];
  return [`${name}: canceled, and its tag names ${tagged}, its pointer ${pointer?.indexDigest ?? 'nothing'}`];
}
