import {
  type Archive,
  type IndexImageRequest,
  type IndexImageResponse,
  type ResolveRequest,
  type ResolveResponse,
} from '../../gen/clipyard/v1/archive.ts';
import type { Archives, ArchiveView } from '../../worker/index.ts';
import { boundedText, dateOf, given, requiredText, safeNumber, wireNumber, wrongField } from './fields.ts';

type Image = Parameters<Archives['resolve']>[1];
type IndexRequest = Parameters<Archives['indexImage']>[1];
type Resolved = Awaited<ReturnType<Archives['resolve']>>;
type Indexed = Awaited<ReturnType<Archives['indexImage']>>;

/** Throws REQUEST_INVALID. */
export function resolveFromProto({ image, platform }: ResolveRequest): {
  readonly image: Image;
  readonly platform?: string;
} {
  const wanted = optionalPlatform(platform);
  switch (image?.$case) {
    case 'imageId':
      return { image: { imageId: requiredText(image.value, 'image_id') }, ...wanted };
    case 'manifestDigest':
      return { image: { manifestDigest: requiredText(image.value, 'manifest_digest') }, ...wanted };
    case undefined:
      throw wrongField('image', 'is missing: image_id or manifest_digest is needed');
  }
}

export function resolveToProto(image: Image, platform: string | undefined): ResolveRequest {
  return {
    image:
      'imageId' in image
        ? { $case: 'imageId', value: image.imageId }
        : { $case: 'manifestDigest', value: image.manifestDigest },
    platform: platform ?? '',
  };
}

export function resolvedToProto({ archives, generation }: Resolved): ResolveResponse {
  return { archives: archives.map(archiveToProto), generation: wireNumber(generation) };
}

export function resolvedFromProto({ archives, generation }: ResolveResponse): Resolved {
  return { archives: archives.map(archiveFromProto), generation: safeNumber(generation, 'generation') };
}

/** Throws REQUEST_INVALID. */
export function indexRequestFromProto({ imageId, platform, reference }: IndexImageRequest): IndexRequest {
  const id = given(boundedText(imageId, 'image_id', 256));
  return {
    reference: requiredText(reference, 'reference', 4096),
    ...optionalPlatform(platform),
    ...(id !== undefined && { imageId: id }),
  };
}

export function indexRequestToProto({ imageId = '', platform = '', reference }: IndexRequest): IndexImageRequest {
  return { reference, platform, imageId };
}

export function indexedToProto({ archive, durationMs, entries, plainBytes }: Indexed): IndexImageResponse {
  return {
    archive: archiveToProto(archive),
    entries: wireNumber(entries),
    plainBytes: wireNumber(plainBytes),
    durationMs: wireNumber(durationMs),
  };
}

/** Throws REQUEST_INVALID for an answer that cannot be read. */
export function indexedFromProto({ archive, durationMs, entries, plainBytes }: IndexImageResponse): Indexed {
  if (archive === undefined) throw wrongField('archive', 'is missing in the answer');
  return {
    archive: archiveFromProto(archive),
    entries: safeNumber(entries, 'entries'),
    plainBytes: safeNumber(plainBytes, 'plain_bytes'),
    durationMs: safeNumber(durationMs, 'duration_ms'),
  };
}

function archiveToProto({ sizeBytes, url, ...texts }: ArchiveView): Archive {
  return {
    ...texts,
    sizeBytes: wireNumber(sizeBytes),
    url: url?.href ?? '',
    urlExpiresAt: dateOf(url?.expiresAtMs),
  };
}

function archiveFromProto({ sizeBytes, url, urlExpiresAt, ...texts }: Archive): ArchiveView {
  return {
    ...texts,
    sizeBytes: safeNumber(sizeBytes, 'archive.size_bytes'),
    url: url === '' ? undefined : { href: url, expiresAtMs: urlExpiresAt?.getTime() ?? 0 },
  };
}

function optionalPlatform(text: string): { readonly platform?: string } {
  const platform = given(boundedText(text, 'platform', 64));
  return platform === undefined ? {} : { platform };
}
