import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { type LatestMode, type RepositoryLock, retagImage } from '../../release/index.ts';
import type { Console } from '../console/console.ts';
import { texts } from '../console/texts.ts';
import { LATEST, type PlannedTags, planTags, type TagOutcome } from './plan-tags.ts';

export interface WriteTagsContext extends Cancelable {
  readonly client: RegistryClient;
  readonly console: Console;
  readonly image: Repository;
  readonly lock: RepositoryLock;
  readonly version: string | undefined;
  readonly latest: LatestMode;
  /** What each tag names now, as far as that is known. */
  readonly before: ReadonlyMap<string, Digest>;
  readonly dryRun: boolean;
}

/**
 * Gives the image its tags, by the same bytes, the version first: when that fails, `latest` stays. A tag that names the image
 * already is not written. Builds take minutes: whether `latest` may move is looked at once more, right before its turn. Throws
 * TAG_PERMANENT, REGISTRY_RACE_LOST, REPOSITORY_LOCKED.
 */
export async function writeTags(
  digest: Digest,
  { latestStays, tags }: PlannedTags,
  context: WriteTagsContext,
): Promise<readonly TagOutcome[]> {
  const { before, console, dryRun, image, lock, signal } = context;
  const outcomes: TagOutcome[] = [];
  const isWanted = (tag: string) => before.get(tag) !== digest;
  // What is up to date waits for nobody.
  await using _held = !dryRun && tags.some(isWanted) ? await lock.hold(image, { signal }) : undefined;
  let stays = latestStays;
  for (const tag of tags) {
    if (!isWanted(tag)) {
      console.say(texts.unchanged(referenceOf(tag, context)));
      outcomes.push({ tag, outcome: 'unchanged', before: digest });
      continue;
    }
    if (tag === LATEST && !dryRun) stays = await latestStaysNow(context);
    if (tag !== LATEST || stays === undefined) outcomes.push(await writeOne(tag, digest, context));
  }
  if (stays !== undefined) {
    console.say(texts.notMoved(stays));
    outcomes.push({ tag: LATEST, outcome: 'not-moved', reason: stays, before: before.get(LATEST) });
  }
  return outcomes;
}

/** Why `latest` may not move any more: a higher version came since the plan was made. */
async function latestStaysNow({
  client,
  image,
  latest,
  signal,
  version,
}: WriteTagsContext): Promise<string | undefined> {
  if (version === undefined || latest !== 'auto') return undefined;
  return planTags({ version, latest, existing: await client.listTags(image, { signal }) }).latestStays;
}

/** One tag, while the lock is held. */
async function writeOne(tag: string, digest: Digest, context: WriteTagsContext): Promise<TagOutcome> {
  const { before, client, console, dryRun, image, signal, version } = context;
  const reference = referenceOf(tag, context);
  console.say(tag === LATEST && version !== undefined ? texts.pushingLatest(reference) : texts.pushing(reference));
  if (dryRun) return { tag, outcome: 'would-push', before: before.get(tag) };
  const targets = [{ tag, permanent: tag === version && tag !== LATEST }];
  const { tags } = await retagImage({ client, repository: image, source: digest, targets, signal });
  const [write] = tags;
  const isWritten = write?.written === true;
  console.say(isWritten ? texts.pushed(reference) : texts.unchanged(reference));
  if (tag === LATEST && isWritten) console.say(texts.latestPointsHere());
  return { tag, outcome: isWritten ? 'pushed' : 'unchanged', before: write?.before };
}

function referenceOf(tag: string, { image }: WriteTagsContext): string {
  return `${image.registry}/${image.repository}:${tag}`;
}
