import type { Digest } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { type Inventory, readInventory, registryReader } from '../../release/index.ts';
import type { GithubPackages } from '../packages/github-packages.ts';
import { LATEST } from '../push/plan-tags.ts';

export interface ListedTag {
  readonly tag: string;
  readonly digest: Digest;
  /** When the image was made, else when it was pushed: milliseconds. Absent where nothing says so. */
  readonly createdMs?: number | undefined;
}

export interface ListContext extends Cancelable {
  readonly client: RegistryClient;
  /** Where GitHub's packages API is to be asked, too. */
  readonly packages?: GithubPackages | undefined;
  /** Told when that API fails: the registry alone knows all tags. Without it such a failure is thrown. */
  readonly onPackagesFailure?: ((error: WorkerError) => void) | undefined;
}

/**
 * The tags of an image, `latest` first, then the newest. Attestations and digest tags are no images of anybody's. Throws
 * INVENTORY_INCOMPLETE when a tag could not be read: nothing is left out in silence.
 */
export async function listImages(image: Repository, context: ListContext): Promise<readonly ListedTag[]> {
  const { client, signal } = context;
  const inventory = await readInventory(registryReader(client, image), { signal });
  requireAllTags(inventory);
  return listedTags(inventory, await pushTimes(image, inventory, context));
}

/** Pure: the rows of a listing. `pushed` are times of manifests that say none themselves. */
export function listedTags(
  { manifests, tags }: Pick<Inventory, 'manifests' | 'tags'>,
  pushed: ReadonlyMap<Digest, number> = new Map(),
): readonly ListedTag[] {
  return imageTags({ tags })
    .map(({ digest, tag }): ListedTag => {
      return { tag, digest, createdMs: manifests.get(digest)?.createdMs ?? pushed.get(digest) };
    })
    .sort(latestThenNewest);
}

function imageTags({ tags }: Pick<Inventory, 'tags'>) {
  return [...tags.values()].filter(({ kind }) => kind !== 'digest');
}

function requireAllTags({ problems, repository }: Inventory): void {
  const [first, ...more] = problems.filter(({ part }) => part === 'tag');
  if (first === undefined) return;
  throw new WorkerError(
    'INVENTORY_INCOMPLETE',
    `${repository.repository}: ${more.length + 1} tags could not be read; ${first.name}: ${first.message}`,
    { problems: more.length + 1, name: first.name, code: first.code },
  );
}

async function pushTimes(
  image: Repository,
  inventory: Inventory,
  { onPackagesFailure, packages, signal }: ListContext,
): Promise<ReadonlyMap<Digest, number>> {
  const store = packages?.storeOf(image);
  const digests = imageTags(inventory).map(({ digest }) => digest);
  // A service that was never pushed has no package either.
  if (store === undefined || digests.length === 0) return new Map();
  try {
    return await store.pushTimes(digests, { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    const error = toWorkerError(thrown, 'listing packages');
    if (onPackagesFailure === undefined) throw error;
    onPackagesFailure(error);
    return new Map();
  }
}

function latestThenNewest(one: ListedTag, other: ListedTag): number {
  if ((one.tag === LATEST) !== (other.tag === LATEST)) return one.tag === LATEST ? -1 : 1;
  const age = (other.createdMs ?? Number.NEGATIVE_INFINITY) - (one.createdMs ?? Number.NEGATIVE_INFINITY);
  // Neither has a time, or both the same: 1.10 is newer than 1.9.
  if (Number.isNaN(age) || age === 0) return other.tag.localeCompare(one.tag, 'en', { numeric: true });
  return age < 0 ? -1 : 1;
}

/** `2024-01-15 10:30`, in UTC. */
export function createdText(createdMs: number | undefined): string {
  if (createdMs === undefined) return 'unknown';
  const date = new Date(createdMs);
  if (Number.isNaN(date.getTime())) return 'unknown';
  return date.toISOString().slice(0, 16).replace('T', ' ');
}
