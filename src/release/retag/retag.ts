import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';
import { NO_LOCK, type RepositoryLock } from './repository-lock.ts';
import { inspectTarget, type RetagTarget, type TagWrite, writeTag } from './tag-write.ts';

export interface RetagRequest extends Cancelable {
  readonly client: RegistryClient;
  readonly repository: Repository;
  /** Tag or digest of the image that is there. */
  readonly source: string;
  /** Set in this order; none after one that fails. */
  readonly targets: readonly RetagTarget[];
  readonly lock?: RepositoryLock;
  /** Looks and checks the same, and writes nothing. */
  readonly dryRun?: boolean;
  readonly onTag?: (write: TagWrite) => void;
}

export interface RetagResult {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly tags: readonly TagWrite[];
}

/**
 * Gives an image of a repository further tags: the same bytes under each, no blob read or written, so that its children,
 * attestations and referrers are what they were. The source is looked up once. All targets are checked before the first is
 * written, and each again right before its turn. Throws REGISTRY_NOT_FOUND without a source, TAG_CHANGED where the plan is out
 * of date, TAG_PERMANENT, REGISTRY_RACE_LOST; `details.done` then tells which tags were set before.
 */
export async function retagImage(request: RetagRequest): Promise<RetagResult> {
  const { client, repository, targets, lock = NO_LOCK, dryRun = false, signal } = request;
  if (dryRun) return await checkTargets(request, await sourceOf(request));
  await using _held = await lock.hold(repository, { signal });
  const manifest = await sourceOf(request);
  await checkTargets(request, manifest);
  const done: TagWrite[] = [];
  for (const target of targets) {
    const write = await writeTag(target, manifest, { client, repository, signal }).catch((thrown: unknown) => {
      throw withDone(thrown, done);
    });
    done.push(write);
    request.onTag?.(write);
  }
  return { digest: manifest.digest, mediaType: manifest.mediaType, tags: done };
}

/** By tag: a HEAD, which counts as no pull, then the bytes of what it named. */
async function sourceOf({ client, repository, source, signal }: RetagRequest): Promise<FetchedManifest> {
  const found = await client.headManifest(repository, source, { signal });
  if (found === undefined)
    throw new WorkerError('REGISTRY_NOT_FOUND', `${repository.registry}/${repository.repository} has no ${source}`, {
      source,
    });
  return await client.getManifest(repository, found.digest, { signal });
}

async function checkTargets(
  { client, repository, targets, signal }: RetagRequest,
  { digest, mediaType }: FetchedManifest,
): Promise<RetagResult> {
  const tags: TagWrite[] = [];
  for (const target of targets) {
    const before = await inspectTarget(target, digest, { client, repository, signal });
    tags.push({ tag: target.tag, before, after: digest, written: false });
  }
  return { digest, mediaType, tags };
}

function withDone(thrown: unknown, done: readonly TagWrite[]): unknown {
  if (!(thrown instanceof WorkerError) || done.length === 0) return thrown;
  return new WorkerError(
    thrown.code,
    `${thrown.message}; set before: ${done.map(({ tag }) => tag).join(', ')}`,
    { ...thrown.details, done: done.map(({ tag }) => tag) },
    { cause: thrown },
  );
}
