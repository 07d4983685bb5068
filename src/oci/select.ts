import { type Digest, isDigest } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';
import { ATTESTATION_SUBJECT_ANNOTATION, ATTESTATION_TYPE_ANNOTATION } from './annotations.ts';
import type { Descriptor } from './descriptor.ts';
import type { Index } from './manifest.ts';
import { formatPlatform, type Platform, samePlatform } from './platform.ts';

/** The images of an index: its attestation manifests left out. */
export function imagesOf(index: Index): readonly Descriptor[] {
  return index.manifests.filter(
    ({ annotations, platform }) =>
      annotations?.[ATTESTATION_TYPE_ANNOTATION] === undefined && platform?.os !== 'unknown',
  );
}

/** The attestation manifests of an index, with the manifest that each speaks of. */
export function attestationsOf(index: Index): readonly { readonly descriptor: Descriptor; readonly subject: Digest }[] {
  return index.manifests.flatMap((descriptor) => {
    const subject = descriptor.annotations?.[ATTESTATION_SUBJECT_ANNOTATION] ?? '';
    return descriptor.annotations?.[ATTESTATION_TYPE_ANNOTATION] !== undefined && isDigest(subject)
      ? [{ descriptor, subject }]
      : [];
  });
}

/** The image of an index for a platform; the only image when it names no platform at all. Throws PLATFORM_NOT_FOUND. */
export function selectPlatform(index: Index, wanted: Platform): Descriptor {
  const images = imagesOf(index);
  const exact = images.find(({ platform }) => platform !== undefined && samePlatform(platform, wanted));
  if (exact !== undefined) return exact;
  const [first] = images;
  if (first !== undefined && images.length === 1 && first.platform === undefined) return first;
  const there = images.map(({ platform }) => (platform === undefined ? 'unnamed' : formatPlatform(platform)));
  throw new WorkerError(
    'PLATFORM_NOT_FOUND',
    `no image for ${formatPlatform(wanted)}; there is ${there.join(', ') || 'none'}`,
    { platforms: there },
  );
}
