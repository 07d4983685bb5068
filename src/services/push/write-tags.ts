import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { type RepositoryLock, retagImage } from '../../release/index.ts';
import type { Console } from '../console/console.ts';
import { texts } from '../console/texts.ts';
import { LATEST, type PlannedTags, type TagOutcome } from './plan-tags.ts';

export interface WriteTagsContext extends Cancelable {
  readonly client: RegistryClient;
  readonly console: Console;
  readonly image: Repository;
  readonly lock: RepositoryLock;
  readonly version: string | undefined;
  /** What each tag names now, as far as that is known. */
  readonly before: ReadonlyMap<string, Digest>;
  readonly dryRun: boolean;
}

/**
 * Gives the image its tags, by the same bytes, the version first: when that fails, `latest` stays. A tag that names the image
 * already is not written. Throws TAG_PERMANENT, REGISTRY_RACE_LOST.
 */
export async function writeTags(
  digest: Digest,
  { latestStays, tags }: PlannedTags,
  context: WriteTagsContext,
): Promise<readonly TagOutcome[]> {
  const { before, client, console, dryRun, image, lock, signal, version } = context;
  const reference = (tag: string) => `${image.registry}/${image.repository}:${tag}`;
  const outcomes: TagOutcome[] = [];
  const wanted = tags.filter((tag) => before.get(tag) !== digest);
  for (const tag of tags) {
    if (!wanted.includes(tag)) {
      console.say(texts.unchanged(reference(tag)));
      outcomes.push({ tag, outcome: 'unchanged', before: digest });
      continue;
    }
    console.say(
      tag === LATEST && version !== undefined ? texts.pushingLatest(reference(tag)) : texts.pushing(reference(tag)),
    );
    if (dryRun) {
      outcomes.push({ tag, outcome: 'would-push', before: before.get(tag) });
      continue;
    }
    const target = { tag, permanent: tag === version && tag !== LATEST };
    const { tags: written } = await retagImage({
      client,
      repository: image,
      source: digest,
      targets: [target],
      lock,
      signal,
    });
    const [write] = written;
    console.say(write?.written === true ? texts.pushed(reference(tag)) : texts.unchanged(reference(tag)));
    outcomes.push({ tag, outcome: write?.written === true ? 'pushed' : 'unchanged', before: write?.before });
    if (tag === LATEST && write?.written === true) console.say(texts.latestPointsHere());
  }
  if (latestStays !== undefined) {
    console.say(texts.notMoved(latestStays));
    outcomes.push({ tag: LATEST, outcome: 'not-moved', reason: latestStays, before: before.get(LATEST) });
  }
  return outcomes;
}
