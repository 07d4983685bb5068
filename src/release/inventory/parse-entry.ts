import {
  ATTESTATION_TYPE_ANNOTATION,
  type Descriptor,
  formatPlatform,
  isIndexType,
  isManifestType,
  parseIndex,
  parseManifest,
} from '../../oci/index.ts';
import type { FetchedManifest } from '../../registry/index.ts';
import type { Child, ManifestEntry } from './inventory.ts';

export interface ParsedManifest {
  readonly entry: ManifestEntry;
  /** The configuration, where it is an image's or may be one. */
  readonly config?: Descriptor | undefined;
}

/** Throws MANIFEST_INVALID, LIMIT_EXCEEDED. */
export function parseEntry({ bytes, digest, mediaType }: FetchedManifest): ParsedManifest {
  const common = { digest, mediaType, sizeBytes: bytes.length };
  if (isIndexType(mediaType)) {
    const { annotations = {}, artifactType, manifests, subject } = parseIndex(bytes);
    const children = manifests.map(childOf);
    return {
      entry: { ...common, kind: 'index', annotations, artifactType, children, subject: subject?.digest },
    };
  }
  const { annotations = {}, artifactType, config, subject } = parseManifest(bytes);
  return {
    entry: { ...common, kind: 'manifest', annotations, artifactType, children: [], subject: subject?.digest },
    config,
  };
}

function childOf({ annotations, digest, mediaType, platform }: Descriptor): Child {
  const isKnown = platform !== undefined && platform.os !== 'unknown' && platform.os !== '';
  return {
    digest,
    platform: isKnown ? formatPlatform(platform) : undefined,
    isAttestation: annotations?.[ATTESTATION_TYPE_ANNOTATION] !== undefined || platform?.os === 'unknown',
    isManifest: isManifestType(mediaType) || isIndexType(mediaType),
  };
}
