import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Digest } from '../digest/index.ts';
import type { ArchiveFormat } from './layer-indexer.ts';
import { AssembleResult, LayerResult } from './results.ts';

/**
 * All that an archive is made of; the same key always means the same bytes (assembling is deterministic). Nothing else reaches the
 * assembler: no time, no host, no user, no limit, no number of cores.
 */
export interface ArchiveKey {
  /** Of the assembler's executable: its code, its libraries and every format version in one. */
  readonly tool: Digest;
  readonly format: ArchiveFormat;
  /** In manifest order. `index`: of the index file, so a level `auto`, whose packs differ, needs no care. */
  readonly layers: readonly { readonly index: Digest; readonly digest: Digest; readonly mediaType: string }[];
  /** Of the bytes of the image configuration. */
  readonly config: Digest;
  /** Of the bytes of the manifest. */
  readonly manifest: Digest;
  readonly registry: string;
  readonly repository: string;
  /** The manifest digest that the archive pins its image to. */
  readonly reference: Digest;
  readonly imageName: string;
}

/**
 * The name of a key in the cache: SHA-256 of one JSON array, all strings, in the order of the fields. Arrays of strings have one
 * encoding, and no two keys share it. The number in front is the version of this encoding and of the document.
 */
export function nameOfArchiveKey(key: ArchiveKey): string {
  const { config, format, imageName, layers, manifest, reference, registry, repository, tool } = key;
  const rows = layers.map(({ digest, index, mediaType }) => [index, digest, mediaType]);
  const parts = [1, 'archive', tool, format, rows, config, manifest, registry, repository, reference, imageName];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

const digest = LayerResult.shape.digest;

/** What stands beside a cached archive: of what it was made, and all that the assembler said of it. */
export const ArchiveDocument = z.object({
  version: z.literal(1),
  key: z.object({
    tool: digest,
    format: z.enum(['clipyard', 'v1']),
    layers: z.array(z.object({ index: digest, digest, mediaType: z.string() })),
    config: digest,
    manifest: digest,
    registry: z.string(),
    repository: z.string(),
    reference: digest,
    imageName: z.string(),
  }),
  result: AssembleResult,
});
export type ArchiveDocument = z.infer<typeof ArchiveDocument>;

/** undefined when the text is no document, or the document of another key. */
export function parseArchiveDocument(text: string, name: string): ArchiveDocument | undefined {
  try {
    const document = ArchiveDocument.parse(JSON.parse(text));
    return nameOfArchiveKey(document.key) === name ? document : undefined;
  } catch {
    return undefined;
  }
}

export const ARCHIVE_FILES = { document: 'archive.json', archive: 'archive' } as const;
