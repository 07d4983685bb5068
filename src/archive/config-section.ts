import { FieldReader } from './field-reader.ts';

/** The documents of the image, byte for byte as their digests name them. */
export interface ImageDocuments {
  readonly config: Buffer;
  readonly manifest: Buffer;
}

/** Throws ARCHIVE_CORRUPT. */
export function parseConfigSection(bytes: Buffer): ImageDocuments {
  const reader = new FieldReader(bytes, 'config');
  const documents = { config: reader.bytes(reader.u32()), manifest: reader.bytes(reader.u32()) };
  reader.end();
  return documents;
}
