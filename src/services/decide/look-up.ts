import { buffer } from 'node:stream/consumers';
import pLimit from 'p-limit';
import { type Digest, digestOf } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import {
  imagesOf,
  isIndexType,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../../oci/index.ts';
import type { FetchedManifest, RegistryClient, Repository } from '../../registry/index.ts';
import type { RemoteImage } from './image-facts.ts';

export interface LookUpOptions extends Cancelable {
  readonly client: Pick<RegistryClient, 'getBlobStream' | 'getManifest' | 'headManifest'>;
  readonly image: Repository;
  /** Name of the label that holds the context hash. */
  readonly label: string;
  /** What needs no second look: the label is then not read. */
  readonly knownDigest: Digest | undefined;
}

/** What the registry has under a tag. A HEAD tells most; only another image than the known one is looked into. */
export async function lookUp(tag: string, options: LookUpOptions): Promise<RemoteImage> {
  const { client, image, knownDigest, signal } = options;
  try {
    const head = await client.headManifest(image, tag, { signal });
    if (head === undefined) return { tag, state: 'absent' };
    if (head.digest === knownDigest) return { tag, state: 'present', digest: head.digest };
    return { tag, state: 'present', digest: head.digest, ...(await look(head.digest, options)) };
  } catch (thrown) {
    signal.throwIfAborted();
    return { tag, state: 'unknown', reason: toWorkerError(thrown, `look up ${tag}`).message };
  }
}

/** What is known of an image by its configurations. */
export interface Look {
  /** Of the configuration; of several platforms, of the list of theirs. */
  readonly configDigest: Digest;
  /** undefined where not every platform has the same: an index put together of several builds has no one context. */
  readonly contextHash: string | undefined;
}

type LookOptions = Pick<LookUpOptions, 'client' | 'image' | 'label' | 'signal'>;

/** Images of an index that are read; more than any build makes. */
const MAX_IMAGES = 64;
/** Of these, so many at once. */
const WIDTH = 4;

/** Reads the configuration of an image, or of every image of an index. Throws MANIFEST_INVALID, LIMIT_EXCEEDED. */
export async function look(digest: Digest, options: LookOptions): Promise<Look> {
  const { client, image, signal } = options;
  const top = await client.getManifest(image, digest, { signal });
  if (!isIndexType(top.mediaType)) return await lookAtImage(top, options);
  const children = imagesOf(parseIndex(top.bytes));
  if (children.length === 0) throw new WorkerError('MANIFEST_INVALID', `${digest} is an index without an image`);
  if (children.length > MAX_IMAGES)
    throw new WorkerError('LIMIT_EXCEEDED', `${digest} is an index of ${children.length} images`);
  const limit = pLimit(WIDTH);
  const looks = await Promise.all(
    children.map((child) =>
      limit(async () => lookAtImage(await client.getManifest(image, child.digest, { signal }), options)),
    ),
  );
  return lookOf(looks);
}

/** What several images are together. */
export function lookOf(looks: readonly Look[]): Look {
  const [first] = looks;
  if (first !== undefined && looks.length === 1) return first;
  const hashes = new Set(looks.map(({ contextHash }) => contextHash));
  return {
    configDigest: digestOf(Buffer.from(looks.map(({ configDigest }) => configDigest).join('\n'))),
    contextHash: hashes.size === 1 ? first?.contextHash : undefined,
  };
}

async function lookAtImage(
  { bytes: manifest }: Pick<FetchedManifest, 'bytes'>,
  { client, image, label, signal }: LookOptions,
): Promise<Look> {
  const { config } = parseManifest(manifest);
  if (config.size > MAX_CONFIG_BYTES)
    throw new WorkerError('LIMIT_EXCEEDED', `${config.digest} has ${config.size} bytes`);
  const bytes = await buffer(await client.getBlobStream(image, config.digest, { signal }));
  return { configDigest: config.digest, contextHash: parseImageConfig(bytes).config?.Labels?.[label] };
}
