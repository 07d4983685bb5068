import { type Digest, digestOf, hexOf } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import {
  ATTESTATION_SUBJECT_ANNOTATION,
  ATTESTATION_TYPE_ANNOTATION,
  attestationsOf,
  canonicalJson,
  type Descriptor,
  isIndexType,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type Manifest,
  MEDIA_TYPES,
  type OciLayout,
  parseIndex,
  parseManifest,
} from '../oci/index.ts';
import type { PlannedManifest } from './image-plan.ts';

const PREDICATE_ANNOTATION = 'in-toto.io/predicate-type';
const STATEMENT_MEDIA_TYPE = 'application/vnd.in-toto+json';
const STATEMENT_TYPE = 'https://in-toto.io/Statement/';
/** SBOMs list every file of an image. */
const MAX_STATEMENT_BYTES = 256 * 1024 * 1024;

/** A small blob in memory. */
export interface SmallBlob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** What BuildKit says about one manifest of an index (provenance, SBOM), as a manifest of its own. */
export interface Attestation {
  readonly descriptor: Descriptor;
  /** The manifest it speaks of, as BuildKit made it. */
  readonly subject: Digest;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly config: SmallBlob;
  /** in-toto statements, in the order of the manifest's layers. */
  readonly statements: readonly SmallBlob[];
}

/** An attestation that speaks of the manifest that is published. */
export interface PlannedAttestation {
  readonly manifest: PlannedManifest;
  /** Of the manifest it speaks of. */
  readonly subject: Digest;
  readonly predicateTypes: readonly string[];
  /** Configuration and statements. */
  readonly blobs: readonly SmallBlob[];
}

/** The attestations of a layout's entry; none for a single manifest. Throws MANIFEST_INVALID, BLOB_MISSING. */
export async function readAttestations(
  layout: OciLayout,
  entry: Descriptor,
  { signal }: Cancelable,
): Promise<readonly Attestation[]> {
  if (!isIndexType(entry.mediaType)) return [];
  const index = parseIndex(await layout.readBlob(entry, { maxBytes: MAX_MANIFEST_BYTES, signal }));
  return await Promise.all(
    attestationsOf(index).map(async ({ descriptor, subject }) => {
      const manifestBytes = await layout.readBlob(descriptor, { maxBytes: MAX_MANIFEST_BYTES, signal });
      const manifest = parseManifest(manifestBytes);
      const blobOf = async (blob: Descriptor, maxBytes: number): Promise<SmallBlob> => ({
        descriptor: blob,
        bytes: await layout.readBlob(blob, { maxBytes, signal }),
      });
      const config = await blobOf(manifest.config, MAX_CONFIG_BYTES);
      const statements = await Promise.all(manifest.layers.map((layer) => blobOf(layer, MAX_STATEMENT_BYTES)));
      return { descriptor, subject, manifest, manifestBytes, config, statements };
    }),
  );
}

/**
 * Makes an attestation speak of the manifest that is published in the place of BuildKit's: the reference annotation, the
 * subjects of its statements, and the `subject` of its manifest. Nothing changes where the manifest did not. Throws
 * ATTESTATION_SIGNED for a statement that cannot be rewritten.
 */
export function planAttestation(attestation: Attestation, published: Descriptor): PlannedAttestation {
  const { config, descriptor, manifest, manifestBytes, statements, subject } = attestation;
  const predicateTypes = manifest.layers.flatMap(({ annotations }) => annotations?.[PREDICATE_ANNOTATION] ?? []);
  if (published.digest === subject) {
    const blobs = [config, ...statements];
    return { manifest: { descriptor, bytes: manifestBytes }, subject, predicateTypes, blobs };
  }
  const renamed = statements.map((statement) => renameSubject(statement, subject, published.digest));
  const names = new Map(statements.map((before, at) => [before.descriptor.digest, renamed[at]?.descriptor.digest]));
  const renamedConfig = renameLayers(config, names);
  const bytes = canonicalJson({
    ...manifest,
    config: renamedConfig.descriptor,
    layers: renamed.map((statement) => statement.descriptor),
    ...(manifest.subject !== undefined && {
      subject: { ...manifest.subject, digest: published.digest, size: published.size },
    }),
  });
  const annotations = {
    ...descriptor.annotations,
    [ATTESTATION_TYPE_ANNOTATION]: descriptor.annotations?.[ATTESTATION_TYPE_ANNOTATION] ?? 'attestation-manifest',
    [ATTESTATION_SUBJECT_ANNOTATION]: published.digest,
  };
  return {
    manifest: { descriptor: { ...descriptor, digest: digestOf(bytes), size: bytes.length, annotations }, bytes },
    subject: published.digest,
    predicateTypes,
    blobs: [renamedConfig, ...renamed],
  };
}

/** The digest is replaced where it stands: every other byte of the statement stays as BuildKit wrote it. */
function renameSubject({ bytes, descriptor }: SmallBlob, before: Digest, after: Digest): SmallBlob {
  const text = Buffer.from(bytes).toString('utf8');
  if (descriptor.mediaType !== STATEMENT_MEDIA_TYPE || !isPlainStatement(text)) {
    throw new WorkerError(
      'ATTESTATION_SIGNED',
      `attestation ${descriptor.digest} (${descriptor.mediaType}) speaks of ${before}, which is published as ${after}, and is signed or of an unknown form`,
      { digest: descriptor.digest },
    );
  }
  const renamed = Buffer.from(text.replaceAll(hexOf(before), hexOf(after)));
  return { bytes: renamed, descriptor: { ...descriptor, digest: digestOf(renamed), size: renamed.length } };
}

/** in-toto attestation 1.0, "Statement": a signed one is an envelope around it, with a payload and signatures. */
function isPlainStatement(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text);
    return (
      typeof parsed === 'object' &&
      parsed !== null &&
      '_type' in parsed &&
      typeof parsed._type === 'string' &&
      parsed._type.startsWith(STATEMENT_TYPE) &&
      !('signatures' in parsed)
    );
  } catch {
    return false;
  }
}

/** BuildKit gives an attestation a configuration whose diffIDs are its statements; an artifact has an empty one. */
function renameLayers({ bytes, descriptor }: SmallBlob, names: ReadonlyMap<Digest, Digest | undefined>): SmallBlob {
  if (descriptor.mediaType === MEDIA_TYPES.ociEmpty) return { bytes, descriptor };
  let text = Buffer.from(bytes).toString('utf8');
  for (const [before, after] of names) text = text.replaceAll(before, after ?? before);
  const renamed = Buffer.from(text);
  return { bytes: renamed, descriptor: { ...descriptor, digest: digestOf(renamed), size: renamed.length } };
}
