import { buffer } from 'node:stream/consumers';
import type { Digest } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import {
  imagesOf,
  isIndexType,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../../oci/index.ts';
import type { RegistryClient, Repository } from '../../registry/index.ts';
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

/** Configuration of an image; of an index, of its first platform: the label stands in all of them. */
export async function look(
  digest: Digest,
  { client, image, label, signal }: Pick<LookUpOptions, 'client' | 'image' | 'label' | 'signal'>,
): Promise<{ readonly configDigest: Digest; readonly contextHash: string | undefined }> {
  let manifest = await client.getManifest(image, digest, { signal });
  if (isIndexType(manifest.mediaType)) {
    const [first] = imagesOf(parseIndex(manifest.bytes));
    if (first === undefined) throw new WorkerError('MANIFEST_INVALID', `${digest} is an index without an image`);
    manifest = await client.getManifest(image, first.digest, { signal });
  }
  const { config } = parseManifest(manifest.bytes);
  if (config.size > MAX_CONFIG_BYTES)
    throw new WorkerError('LIMIT_EXCEEDED', `${config.digest} has ${config.size} bytes`);
  const bytes = await buffer(await client.getBlobStream(image, config.digest, { signal }));
  return { configDigest: config.digest, contextHash: parseImageConfig(bytes).config?.Labels?.[label] };
}
