import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'not a digest');
const count = z.number().int().nonnegative();
const warnings = z.record(z.string(), count).default({});

/** What `clipyard-index pack` says of one layer. */
export const LayerResult = z.object({
  digest,
  diffId: digest,
  mediaType: z.string(),
  sizeBytes: count,
  plainBytes: count,
  entries: count,
  chunks: count,
  spans: count,
  seekable: z.boolean(),
  /** The kind of blob; absent in cache entries of before it was told apart. */
  format: z.string().optional(),
  /** Its zstd seek table does not fit its frames and was passed over. */
  ignoredSeekTable: z.boolean().optional(),
  warnings,
});
export type LayerResult = z.infer<typeof LayerResult>;

/** What `clipyard-index assemble` says. */
export const AssembleResult = z.object({
  digest,
  sizeBytes: count,
  clipBytes: count,
  entries: count,
  /** Absent for a V1 archive, which has no footer. */
  footerDigest: digest.optional(),
  mountBytes: count,
  sections: z.array(z.object({ name: z.string(), offset: count, storedBytes: count, plainBytes: count, digest })),
  warnings,
});
export type AssembleResult = z.infer<typeof AssembleResult>;

export const VerifyResult = z.object({ kind: z.enum(['clipyard', 'clip', 'clip-v1']), entries: count }).loose();
export type VerifyResult = z.infer<typeof VerifyResult>;
