import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';

/** A tag to set. */
export interface RetagTarget {
  readonly tag: string;
  /** What the plan found under it; without, whatever is there is replaced. */
  readonly expected?: Digest | 'absent';
  /** It names one image for ever: a full version, a commit. */
  readonly permanent?: boolean;
}

/** What became of a tag. */
export interface TagWrite {
  readonly tag: string;
  readonly before: Digest | undefined;
  readonly after: Digest;
  /** False when it was there already. */
  readonly written: boolean;
}

export interface TagWriting extends Cancelable {
  readonly client: RegistryClient;
  readonly repository: Repository;
}

/** Registries with permanent tags of their own refuse with these, some of them the same digest too. */
const KEEPS_TAG: ReadonlySet<unknown> = new Set([400, 405, 409, 412]);

/** What is under a tag now. Throws TAG_CHANGED and TAG_PERMANENT where it must not get this digest. */
export async function inspectTarget(
  { tag, expected, permanent = false }: RetagTarget,
  digest: Digest,
  { client, repository, signal }: TagWriting,
): Promise<Digest | undefined> {
  const before = (await client.headManifest(repository, tag, { signal }))?.digest;
  // There already, by an earlier run or another one's: the same end, whatever the plan saw.
  if (before === digest) return before;
  if (expected !== undefined && expected !== (before ?? 'absent'))
    throw new WorkerError(
      'TAG_CHANGED',
      `${nameOf(repository, tag)} is ${before ?? 'absent'} and was ${expected} in the plan`,
      { tag, expected, found: before ?? 'absent' },
    );
  if (permanent && before !== undefined) throw isPermanent(repository, tag, before, digest);
  return before;
}

/**
 * Sets one tag and reads it back. Looks first: some registries refuse to write even the same digest to a permanent tag. Throws
 * TAG_CHANGED, TAG_PERMANENT, REGISTRY_RACE_LOST.
 */
export async function writeTag(target: RetagTarget, manifest: FetchedManifest, writing: TagWriting): Promise<TagWrite> {
  const { client, repository, signal } = writing;
  const { tag } = target;
  const { bytes, digest, mediaType } = manifest;
  const before = await inspectTarget(target, digest, writing);
  if (before === digest) return { tag, before, after: digest, written: false };
  let refusal: WorkerError | undefined;
  try {
    await client.putManifest(repository, tag, bytes, mediaType, { signal });
  } catch (thrown) {
    if (!(thrown instanceof WorkerError && KEEPS_TAG.has(thrown.details['status']))) throw thrown;
    refusal = thrown;
  }
  const after = (await client.headManifest(repository, tag, { signal }))?.digest;
  // Refused and there all the same: an answer was lost, or another one released the same image just now.
  if (after === digest) return { tag, before, after, written: true };
  if (refusal === undefined)
    throw new WorkerError(
      'REGISTRY_RACE_LOST',
      `${nameOf(repository, tag)} was set to ${digest} and is ${after ?? 'absent'}`,
      { tag, digest, found: after ?? 'absent' },
    );
  throw after === undefined ? refusal : isPermanent(repository, tag, after, digest, refusal);
}

function isPermanent(
  repository: Repository,
  tag: string,
  found: Digest,
  digest: Digest,
  refusal?: WorkerError,
): WorkerError {
  return new WorkerError(
    'TAG_PERMANENT',
    `${nameOf(repository, tag)} is ${found} and is not moved to ${digest}${refusal === undefined ? '' : `: ${refusal.message}`}`,
    { tag, digest, found },
    { cause: refusal },
  );
}

function nameOf({ registry, repository }: Repository, tag: string): string {
  return `${registry}/${repository}:${tag}`;
}
