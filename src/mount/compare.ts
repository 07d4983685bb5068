import { z } from 'zod';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { findNativeTool, type NativeToolPaths, runTool } from '../native/index.ts';

const Difference = z.object({
  /** From the root of the trees; bytes that are no UTF-8, control characters and backslashes as `\xNN`. */
  path: z.string(),
  /** `presence`, `type`, `mode`, `uid`, …, `xattr:NAME`, `content`. */
  field: z.string(),
  /** The value in the archive's tree; absent where it has none. */
  left: z.string().optional(),
  right: z.string().optional(),
});
export type Difference = z.infer<typeof Difference>;

const Comparison = z.object({
  entries: z.number(),
  contentBytes: z.number(),
  differences: z.number(),
  /** How many differences each field has. */
  fields: z.record(z.string(), z.number()),
  /** Attributes and devices that archives leave out on purpose. */
  leftOut: z.number(),
  first: z.array(Difference),
});
export type Comparison = z.infer<typeof Comparison>;

export interface CompareOptions extends Cancelable {
  readonly tools: NativeToolPaths;
  /** Fields that are passed over. */
  readonly ignore: readonly string[];
  /** Also compare where files have holes. */
  readonly holes: boolean;
  /** How many differences are listed. */
  readonly limit: number;
}

/**
 * Compares the tree of an archive (left) with another one by the rules of docs/semantics.md, "Comparing trees". Throws
 * PATH_NOT_FOUND where one of them is no folder, IO_FAILED where something cannot be read.
 */
export async function compareTrees(left: string, right: string, options: CompareOptions): Promise<Comparison> {
  const { holes, ignore, limit, signal, tools } = options;
  const tool = findNativeTool('clipyard-compare', tools);
  let result: unknown;
  for await (const event of runTool(tool, [], { v: 1, left, right, ignore, holes, limit }, { signal })) {
    if (event.event === 'result') result = event.result;
  }
  if (result === undefined) throw new WorkerError('NATIVE_TOOL_FAILED', 'clipyard-compare ended without a result');
  return Comparison.parse(result);
}
