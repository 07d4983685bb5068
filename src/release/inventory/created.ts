import { z } from 'zod';
import type { Digest } from '../../digest/index.ts';
import type { Child, ManifestEntry } from './inventory.ts';

export const CREATED_ANNOTATION = 'org.opencontainers.image.created';
export const VERSION_ANNOTATION = 'org.opencontainers.image.version';

/** Reproducible builds write a constant: 0, 1, the year 1, the first day that a zip knows. */
const FIRST_REAL_MS = Date.UTC(1980, 0, 2);

/** What is read of an image's configuration here. Anything else may be wrong with it. */
const ConfigFacts = z.object({
  created: z.string().optional().catch(undefined),
  config: z
    .object({ Labels: z.record(z.string(), z.string()).optional().catch(undefined) })
    .optional()
    .catch(undefined),
});

export interface ImageFacts {
  readonly createdMs?: number | undefined;
  readonly versionText?: string | undefined;
}

/** RFC 3339 as milliseconds; undefined when it is none, or is no time that an image was made at. */
export function parseCreated(text: string | undefined): number | undefined {
  const ms = text === undefined || !/^\d{4}-\d{2}-\d{2}T/.test(text) ? Number.NaN : Date.parse(text);
  return ms >= FIRST_REAL_MS ? ms : undefined;
}

/** Never throws: what cannot be read says nothing. */
export function factsOfConfig(bytes: Uint8Array | undefined): ImageFacts {
  if (bytes === undefined) return {};
  try {
    const { config, created } = ConfigFacts.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return { createdMs: parseCreated(created), versionText: config?.Labels?.[VERSION_ANNOTATION] };
  } catch {
    return {};
  }
}

export function factsOfAnnotations(annotations: Readonly<Record<string, string>>): ImageFacts {
  return {
    createdMs: parseCreated(annotations[CREATED_ANNOTATION]),
    versionText: annotations[VERSION_ANNOTATION] || undefined,
  };
}

/** The children that are images, in order: no attestation, no referrer, nothing without a platform where others have one. */
export function realChildren({ children }: Pick<ManifestEntry, 'children'>): readonly Child[] {
  const images = children.filter(({ isAttestation, isManifest }) => !isAttestation && isManifest);
  const withPlatform = images.filter(({ platform }) => platform !== undefined);
  return withPlatform.length > 0 ? withPlatform : images;
}

/** The image whose configuration speaks for an index: its first real platform, through indexes of indexes. */
export function representative(
  start: ManifestEntry,
  manifests: ReadonlyMap<Digest, ManifestEntry>,
): ManifestEntry | undefined {
  const seen = new Set<Digest>();
  let at: ManifestEntry | undefined = start;
  while (at?.kind === 'index' && !seen.has(at.digest)) {
    seen.add(at.digest);
    at = realChildren(at)
      .map(({ digest }) => manifests.get(digest))
      .find((child) => child !== undefined);
  }
  return at?.kind === 'manifest' ? at : undefined;
}
