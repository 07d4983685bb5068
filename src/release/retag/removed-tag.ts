import { randomUUID } from 'node:crypto';
import { type Digest, digestOf } from '../../digest/index.ts';
import { canonicalJson, MEDIA_TYPES } from '../../oci/index.ts';

/** On the manifest that takes the place of what a tag named, so that the tag can be deleted by digest: the tag's name. */
const REMOVED_TAG_ANNOTATION = 'dev.clipyard.tag.removed';
const REMOVED_TAG_TYPE = 'application/vnd.clipyard.removed-tag.v1';

/** Its one blob. */
export const EMPTY_BLOB = Buffer.from('{}');

export interface RemovedTagMark {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** A manifest of no image that nothing else can have, to point the tag at. */
export function removedTagMark(tag: string): RemovedTagMark {
  const empty = { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(EMPTY_BLOB), size: EMPTY_BLOB.length };
  const bytes = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: REMOVED_TAG_TYPE,
    config: empty,
    layers: [empty],
    annotations: { [REMOVED_TAG_ANNOTATION]: tag, 'dev.clipyard.tag.removal': randomUUID() },
  });
  return { digest: digestOf(bytes), bytes, mediaType: MEDIA_TYPES.ociManifest };
}

/** What a mark is known by. */
interface Marked {
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** Whether it was made to take a tag's place: it is no image, and the beginning of no push. */
export function isMark(manifest: Marked | undefined): boolean {
  return manifest?.artifactType === REMOVED_TAG_TYPE && manifest.annotations?.[REMOVED_TAG_ANNOTATION] !== undefined;
}

/** Whether a run that was interrupted left the tag on such a manifest. */
export function isRemovedTagMark(manifest: Marked | undefined, tag: string): boolean {
  return isMark(manifest) && manifest?.annotations?.[REMOVED_TAG_ANNOTATION] === tag;
}
