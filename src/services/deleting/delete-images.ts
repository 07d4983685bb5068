import type { Digest } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, type WorkerError } from '../../errors/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { type RepositoryLock, removeTag } from '../../release/index.ts';
import type { Console } from '../console/console.ts';
import { texts } from '../console/texts.ts';
import type { GithubPackages } from '../packages/github-packages.ts';

/** The tags of one service that go. */
export interface PlannedDeletion {
  readonly service: string;
  readonly image: Repository;
  readonly tags: readonly { readonly tag: string; readonly digest: Digest }[];
}

export interface DeletedTag {
  readonly service: string;
  readonly tag: string;
  /** `changed`: it names another image than when it was shown, and stays. */
  readonly outcome: 'deleted' | 'absent' | 'changed' | 'refused';
  readonly error?: WorkerError;
}

export interface DeleteContext extends Cancelable {
  readonly client: RegistryClient;
  readonly console: Console;
  /** Held for the tags of a service: whoever releases it, or cleans it, waits. */
  readonly lock: RepositoryLock;
  /** Deletes the images of GitHub's registry, which does not delete itself. */
  readonly packages?: GithubPackages | undefined;
}

/** What is shown before anything is asked. */
export function sayPreview(console: Console, plans: readonly PlannedDeletion[]): void {
  console.say(texts.deletePreview());
  for (const { service, tags } of plans) {
    console.say(texts.deleteService(service, tags.length));
    for (const { tag } of tags) console.say(texts.deleteTag(tag));
  }
}

/** Removes the tags that were shown and nothing else: whatever other tags, indexes or referrers need stays. */
export async function deleteImages(
  plans: readonly PlannedDeletion[],
  context: DeleteContext,
): Promise<readonly DeletedTag[]> {
  const results: DeletedTag[] = [];
  for (const { image, service, tags } of plans) {
    if (tags.length === 0) continue;
    const tell = (tag: string, result: Outcome) => {
      sayResult(`${image.registry}/${image.repository}:${tag}`, result, context.console);
      results.push({ service, tag, ...result });
    };
    try {
      await using held = await context.lock.hold(image, { signal: context.signal });
      for (const { digest, tag } of tags)
        tell(tag, await deleteOne(image, tag, digest, { ...context, signal: held.signal }));
    } catch (thrown) {
      context.signal.throwIfAborted();
      // What another one has locked is refused tag by tag; other services' images are not in its way.
      const error = toWorkerError(thrown, `delete images of ${service}`);
      const told = new Set(results.flatMap((each) => (each.service === service ? [each.tag] : [])));
      for (const { tag } of tags) if (!told.has(tag)) tell(tag, { outcome: 'refused', error });
    }
  }
  return results;
}

type Outcome = Pick<DeletedTag, 'outcome' | 'error'>;

async function deleteOne(image: Repository, tag: string, digest: Digest, context: DeleteContext): Promise<Outcome> {
  const { client, packages, signal } = context;
  try {
    const now = await client.headManifest(image, tag, { signal });
    if (now === undefined) return { outcome: 'absent' };
    if (now.digest !== digest) return { outcome: 'changed' };
    const store = packages?.storeOf(image);
    if (store !== undefined) return { outcome: await store.deleteTag(tag, digest, { signal }) };
    return { outcome: await removeTag({ client, repository: image, tag, expected: digest, signal }) };
  } catch (thrown) {
    signal.throwIfAborted();
    const error = toWorkerError(thrown, `delete ${tag}`);
    return error.code === 'TAG_CHANGED' ? { outcome: 'changed' } : { outcome: 'refused', error };
  }
}

function sayResult(reference: string, { error, outcome }: Outcome, console: Console): void {
  switch (outcome) {
    case 'deleted':
      console.say(`✅ Deleted ${reference}`);
      break;
    case 'absent':
      console.info(`${reference} was gone already`);
      break;
    case 'changed':
      console.warning(`${reference} names another image since it was shown; it stays`);
      break;
    case 'refused':
      console.error(`${reference} stays: ${error?.message ?? ''}`);
      break;
  }
}
