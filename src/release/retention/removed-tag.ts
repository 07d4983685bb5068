import { randomUUID } from 'node:crypto';
import { digestOf } from '../../digest/index.ts';
import { canonicalJson, MEDIA_TYPES } from '../../oci/index.ts';
import type { ManifestEntry } from '../inventory/index.ts';

/** On the manifest that takes the place of what a tag named, so that the tag can be deleted by digest: the tag's name. */
const REMOVED_TAG_ANNOTATION = 'dev.clipyard.tag.removed';
const REMOVED_TAG_TYPE = 'application/vnd.clipyard.removed-tag.v1';

/** Its one blob. */
export const EMPTY_BLOB = Buffer.from('{}');

/** Where a registry deletes no tag alone: a manifest that nothing else can have, to point the tag at. */
export function removedTagMark(tag: string): { readonly bytes: Uint8Array; readonly mediaType: string } {
  const empty = { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(EMPTY_BLOB), size: EMPTY_BLOB.length };
  const bytes = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: REMOVED_TAG_TYPE,
    config: empty,
    layers: [empty],
    annotations: { [REMOVED_TAG_ANNOTATION]: tag, 'dev.clipyard.tag.removal': randomUUID() },
  });
  return { bytes, mediaType: MEDIA_TYPES.ociManifest };
}

/** Whether a run that was interrupted left the tag on such a manifest. */
export function isRemovedTagMark(manifest: ManifestEntry | undefined, tag: string): boolean {
  return manifest?.artifactType === REMOVED_TAG_TYPE && manifest.annotations[REMOVED_TAG_ANNOTATION] === tag;
}
