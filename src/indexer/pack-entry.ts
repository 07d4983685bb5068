import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DEFAULT_LIMITS, type Limits } from '../config/index.ts';
import type { Digest } from '../digest/index.ts';
import type { Compression } from './compression.ts';
import { LayerResult } from './results.ts';

/**
 * What decides a pack result: the same key always means the same bytes (packing is deterministic), but for the level `auto`:
 * there it means the same layer, in the bytes of whoever packed it last.
 */
export interface PackKey {
  /** diffID of a plain layer that is packed, blob digest of one that is kept. */
  readonly source: Digest;
  readonly action: 'pack' | 'keep';
  readonly compression: Compression;
  /** Of the native tool: library, version and index format. */
  readonly encoder: string;
}

/** The name of a key in the cache. How new layers would be compressed does not change the index of a kept one. */
export function nameOfKey({ action, compression, encoder, source }: PackKey): string {
  const { codec, level, chunkBytes } = compression;
  const parts = action === 'pack' ? [codec, level, chunkBytes] : [chunkBytes];
  return createHash('sha256')
    .update(JSON.stringify([1, source, action, encoder, ...parts]))
    .digest('hex');
}

const digest = LayerResult.shape.digest;

/** What stands beside an index: the layer it describes, and how to tell that it is whole. */
export const PackDocument = z.object({
  version: z.literal(1),
  key: z.object({
    source: digest,
    action: z.enum(['pack', 'keep']),
    compression: z.object({
      codec: z.enum(['zstd', 'gzip', 'none']),
      level: z.union([z.number(), z.literal('auto')]),
      chunkBytes: z.number(),
    }),
    encoder: z.string(),
  }),
  /** Under which the layer was read; absent: the defaults. They change no byte, so they are no part of the key. */
  limits: z.record(z.string(), z.number()).optional(),
  layer: LayerResult,
  index: z.object({ digest, sizeBytes: z.number().int().nonnegative() }),
});
export type PackDocument = z.infer<typeof PackDocument>;

/** undefined when the bytes are no document, or the document of another key. */
export function parsePackDocument(bytes: Uint8Array | string, name: string): PackDocument | undefined {
  try {
    const text = typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('utf8');
    const document = PackDocument.parse(JSON.parse(text));
    return nameOfKey(document.key) === name ? document : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the layer was read under limits that are nowhere wider than these: then it would pass under them too. */
export function passesUnder({ limits = {} }: PackDocument, now: Limits): boolean {
  const read: Readonly<Record<string, number>> = { ...DEFAULT_LIMITS, ...limits };
  return Object.entries(now).every(([key, value]) => (read[key] ?? Number.POSITIVE_INFINITY) <= value);
}

/** Where things are below the root of a cache. */
export const PACK_FOLDERS = { entries: 'packs', archives: 'archives', blobs: 'blobs', temporary: 'tmp' } as const;
export const PACK_FILES = { document: 'layer.json', index: 'index' } as const;
