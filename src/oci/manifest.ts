import { z } from 'zod';
import { parseBoundedJson } from './bounded-json.ts';
import { AnnotationsSchema, type Descriptor, DescriptorSchema, orAbsent } from './descriptor.ts';
import { isIndexType, isManifestType } from './media-types.ts';

/** OCI image-spec 1.1, manifest.md; Docker's schema 2 has the same shape. */
export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string | undefined;
  readonly artifactType?: string | undefined;
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** OCI image-spec 1.1, image-index.md; Docker's manifest list has the same shape. */
export interface Index {
  readonly schemaVersion: 2;
  readonly mediaType?: string | undefined;
  readonly artifactType?: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** distribution-spec 1.1, "Pushing Manifests": registries take at least 4 MiB, so none is larger in practice. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const LIMITS = { maxBytes: MAX_MANIFEST_BYTES, maxDepth: 32 };

const common = {
  schemaVersion: z.literal(2),
  artifactType: orAbsent(z.string()).optional(),
  subject: orAbsent(DescriptorSchema).optional(),
  annotations: AnnotationsSchema.optional(),
};
// Go writes an empty list as null.
const descriptors = z
  .array(DescriptorSchema)
  .nullable()
  .transform((value) => value ?? []);
// A document that is a manifest to one reader and an index to another is refused (CVE-2021-41190).
const absent = z.undefined('this field belongs to the other kind of document').optional();
const typeThat = (fits: (mediaType: string) => boolean) =>
  orAbsent(z.string().refine(fits, 'the media type is of another kind')).optional();

const ManifestSchema = z.object({
  ...common,
  mediaType: typeThat(isManifestType),
  config: DescriptorSchema,
  layers: descriptors,
  manifests: absent,
});
const IndexSchema = z.object({
  ...common,
  mediaType: typeThat(isIndexType),
  manifests: descriptors,
  config: absent,
  layers: absent,
});

/** Fields that are not ours are left out: keep the bytes where the digest counts. Throws MANIFEST_INVALID, LIMIT_EXCEEDED. */
export function parseManifest(bytes: Uint8Array): Manifest {
  const { manifests: _, ...manifest } = parseBoundedJson(bytes, 'manifest', ManifestSchema, LIMITS);
  return manifest;
}

/** Throws MANIFEST_INVALID, LIMIT_EXCEEDED. */
export function parseIndex(bytes: Uint8Array): Index {
  const { config: _, layers: __, ...index } = parseBoundedJson(bytes, 'index', IndexSchema, LIMITS);
  return index;
}
