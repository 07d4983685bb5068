import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
import { type Inventory, type RepositoryReader, readInventory, registryReader } from '../../release/index.ts';
import { LATEST } from '../push/plan-tags.ts';

export interface ListedTag {
  readonly tag: string;
  readonly digest: Digest;
  /** When the image was made: milliseconds. Absent where nothing says so. */
  readonly createdMs?: number | undefined;
}

export interface ListContext extends Cancelable {
  readonly client: RegistryClient;
  /** Where another reader than the registry's own API is to be used. */
  readonly readerOf?: ((image: Repository) => RepositoryReader | undefined) | undefined;
}

/** The tags of an image, `latest` first, then the newest. Attestations and digest tags are no images of anybody's. */
export async function listImages(image: Repository, context: ListContext): Promise<readonly ListedTag[]> {
  const { client, readerOf, signal } = context;
  const reader = readerOf?.(image) ?? registryReader(client, image);
  return listedTags(await readInventory(reader, { signal }));
}

/** Pure: the rows of a listing. */
export function listedTags({ manifests, tags }: Pick<Inventory, 'manifests' | 'tags'>): readonly ListedTag[] {
  const shown = [...tags.values()].filter(({ kind }) => kind !== 'digest');
  return shown
    .map(({ digest, tag }): ListedTag => {
      const entry = manifests.get(digest);
      return { tag, digest, createdMs: entry?.createdMs ?? entry?.pushedMs };
    })
    .sort(latestThenNewest);
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
