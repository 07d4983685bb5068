import { buffer } from 'node:stream/consumers';
import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import {
  formatPlatform,
  isIndexType,
  MAX_CONFIG_BYTES,
  MEDIA_TYPES,
  type Platform,
  parseImageConfig,
  parseIndex,
  parseManifest,
  platformOfConfig,
  samePlatform,
  selectPlatform,
} from '../../oci/index.ts';
import { formatReference, manifestNameOf, type Reference, type RegistryClient } from '../../registry/index.ts';
import { NO_LOCK, type RepositoryLock, retagImage, type TagWrite } from '../retag/index.ts';
import { type CopyCounts, type CopyEvent, TreeCopy } from './tree-copy.ts';

const CONFIG_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig]);

export interface CopyRequest extends Cancelable {
  readonly client: RegistryClient;
  readonly source: Reference;
  /** Its tag is set last; without one the image is there by digest only. */
  readonly target: Reference;
  /**
   * Of an index only the image for this one: the target is that image, with its own digest, as `crane copy --platform` does it. What
   * attests it is a child of the index and stays behind.
   */
  readonly platform?: Platform;
  /** Leaves behind what refers to the image: signatures, attestations, SBOMs outside its index. */
  readonly withoutReferrers?: boolean;
  /** Only looks, and counts the same. */
  readonly dryRun?: boolean;
  readonly lock?: RepositoryLock;
  readonly report?: (event: CopyEvent) => void;
}

export interface CopyResult extends CopyCounts {
  readonly digest: Digest;
  readonly mediaType: string;
  /** What became of the target's tag. */
  readonly tag: TagWrite | undefined;
}

/**
 * Copies an image between repositories and registries, byte for byte: blobs (mounted where the registry is the same, else
 * streamed from one to the other), then manifests by digest, children first, then the tag; then what refers to any of them,
 * and what refers to that, and the tags that belong to their digests. What is there is not sent, so that a copy that was
 * broken off goes on where it was. Throws REGISTRY_NOT_FOUND, PLATFORM_NOT_FOUND, and BLOB_MISMATCH for a target by another digest.
 */
export async function copyImage(request: CopyRequest): Promise<CopyResult> {
  const { client, source, target, dryRun = false, lock = NO_LOCK, signal, withoutReferrers = false } = request;
  const { digest } = await resolve(request);
  if (source.registry === target.registry && source.repository === target.repository)
    return await copyInPlace(request, digest);
  const manifest = await client.getManifest(source, digest, { signal });
  const copy = new TreeCopy({ client, source, target, dryRun, signal, report: request.report ?? (() => undefined) });
  await copy.below(manifest);
  // Blobs may take long and disturb nobody; from here on the target's tags change.
  await using _held = dryRun ? undefined : await lock.hold(target, { signal });
  const tag = await copy.top(manifest, target.tag);
  if (!withoutReferrers) await copy.attached();
  return { digest, mediaType: manifest.mediaType, tag, ...copy.counts };
}

async function resolve({
  client,
  platform,
  source,
  target,
  signal,
}: CopyRequest): Promise<{ readonly digest: Digest }> {
  const name = manifestNameOf(source);
  const named = await client.headManifest(source, name, { signal });
  if (named === undefined)
    throw new WorkerError('REGISTRY_NOT_FOUND', `there is no ${formatReference(source)}`, { name });
  const found = platform === undefined ? named : await imageFor(platform, named.digest, { client, source, signal });
  if (target.digest !== undefined && target.digest !== found.digest)
    throw new WorkerError(
      'BLOB_MISMATCH',
      `${formatReference(source)} is ${found.digest} and cannot become ${formatReference(target)}`,
      { digest: found.digest },
    );
  return found;
}

/** The image for a platform: one of an index, or an image that is for it. Throws PLATFORM_NOT_FOUND. */
async function imageFor(
  platform: Platform,
  digest: Digest,
  { client, signal, source }: Pick<CopyRequest, 'client' | 'signal' | 'source'>,
): Promise<{ readonly digest: Digest }> {
  const { bytes, mediaType } = await client.getManifest(source, digest, { signal });
  if (isIndexType(mediaType)) return selectPlatform(parseIndex(bytes), platform);
  const { config } = parseManifest(bytes);
  if (!CONFIG_TYPES.has(config.mediaType) || config.size > MAX_CONFIG_BYTES)
    throw new WorkerError('PLATFORM_NOT_FOUND', `${formatReference(source)} is no image that names its platform`);
  const there = platformOfConfig(
    parseImageConfig(await buffer(await client.getBlobStream(source, config.digest, { signal }))),
  );
  if (!samePlatform(there, platform))
    throw new WorkerError(
      'PLATFORM_NOT_FOUND',
      `no image for ${formatPlatform(platform)}; ${formatReference(source)} is for ${formatPlatform(there)}`,
      { platforms: [formatPlatform(there)] },
    );
  return { digest };
}

/** In one repository everything is there, and what refers to the digest too: only the tag is new. */
async function copyInPlace(
  { client, target, dryRun = false, lock = NO_LOCK, signal }: CopyRequest,
  digest: Digest,
): Promise<CopyResult> {
  const targets = target.tag === undefined ? [] : [{ tag: target.tag }];
  const { mediaType, tags } = await retagImage({
    client,
    repository: target,
    source: digest,
    targets,
    lock,
    dryRun,
    signal,
  });
  return {
    digest,
    mediaType,
    tag: tags[0],
    manifests: { copied: 0, present: 1 },
    blobs: { sent: 0, mounted: 0, present: 0 },
    sentBytes: 0,
    referrers: 0,
    companions: [],
    missing: [],
  };
}
