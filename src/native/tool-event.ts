import { z } from 'zod';

/**
 * What a native tool says on stdout, one JSON object a line. `test/golden/protocol/*.jsonl` holds examples that this
 * schema and the Rust side (`native-tools/crates/tool-protocol`) must both accept.
 */
export const ToolEvent = z.discriminatedUnion('event', [
  z.object({
    v: z.literal(1),
    event: z.literal('progress'),
    /** The caller's name for the part of the job (a layer), empty for the whole. */
    id: z.string(),
    doneBytes: z.number().int().nonnegative(),
    totalBytes: z.number().int().nonnegative().optional(),
  }),
  z.object({
    v: z.literal(1),
    event: z.literal('written'),
    id: z.string(),
    /** Bytes at the start of the part's output that stand there for good. */
    writtenBytes: z.number().int().nonnegative(),
  }),
  z.object({ v: z.literal(1), event: z.literal('result'), id: z.string(), result: z.unknown() }),
  z.object({
    v: z.literal(1),
    event: z.literal('error'),
    id: z.string(),
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.string()).default({}),
  }),
]);

export type ToolEvent = z.infer<typeof ToolEvent>;
