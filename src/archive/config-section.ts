import { type Digest, digestOf } from '../digest/index.ts';
import { corrupt } from './failure.ts';
import { FieldReader } from './field-reader.ts';
import { parsePinnedReference, type StorageReference } from './storage-reference.ts';

/** What a start needs besides the tree: the documents of the image, byte for byte, and where its blobs are. */
export interface ImageDocuments {
  readonly config: Buffer;
  readonly manifest: Buffer;
  readonly storage: StorageReference & { readonly digest: Digest };
}

/** Throws ARCHIVE_CORRUPT, also when the reference does not name the manifest. */
export function parseConfigSection(bytes: Buffer): ImageDocuments {
  const reader = new FieldReader(bytes, 'config');
  const [config, manifest, reference] = [
    reader.bytes(reader.u32()),
    reader.bytes(reader.u32()),
    reader.bytes(reader.u32()),
  ];
  reader.end();
  const storage = parsePinnedReference(reference.toString('utf8'));
  if (storage.digest !== digestOf(manifest)) throw corrupt('the storage reference does not name the manifest');
  return { config, manifest, storage };
}
