import { z } from 'zod';
import { messageOf, WorkerError } from '../errors/index.ts';

/** The daemon records fewer touches than this; a longer file is somebody else's. */
export const MAX_TRACE_BYTES = 16 * 2 ** 20;
const MAX_TOUCHES = 65_536;
/** Bytes of a chunk's digest that traces and profiles keep. */
export const SHORT_DIGEST_BYTES = 16;
/** The kernel reads at most so much at once, in chunks of at least 4 KiB. */
const MAX_CHUNKS_A_TOUCH = 4096;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const TIERS = ['ready', 'cached', 'coming', 'missing'] as const;
/** How far the chunks of a read were when it came: proven, cached, on their way, or fetched because of it. */
export type Tier = (typeof TIERS)[number];

const Layer = z.object({
  diffId: z.string().max(200),
  digest: z.string().max(200),
  chunkTable: z.string().max(200),
  plainBytes: count,
  chunks: count,
  mode: z.string().max(20),
  reason: z
    .string()
    .max(1000)
    .nullish()
    .transform((text) => text ?? undefined),
});
export type TracedLayer = z.infer<typeof Layer>;

const Header = z.object({
  v: z.literal(1),
  format: z.literal('clipyard-trace'),
  source: z.string().max(4096),
  storageRef: z.string().max(4096),
  entry: z.string().max(65_536),
  startedAt: z.string().max(100),
  engine: z.string().max(20),
  layers: z.array(Layer).max(4096),
});

const Row = z.tuple([count, count, count, count, count, count, count, z.enum(TIERS), z.string().max(100_000)]);

const End = z.object({
  touches: count,
  dropped: count,
  recordedUs: count,
  wantedBytes: count,
  fetchedBytes: count,
  requests: count,
  retries: count,
});

/** A read that touched chunks for the first time. */
export interface Touch {
  /** Index into the layers. */
  readonly layer: number;
  readonly firstChunk: number;
  readonly chunkCount: number;
  /** What was read of the layer's plain stream. */
  readonly offset: number;
  readonly length: number;
  /** Since the mount. */
  readonly atUs: number;
  readonly waitUs: number;
  readonly tier: Tier;
  /** Of each chunk: the first bytes of its BLAKE3 in base64url. */
  readonly digests: readonly string[];
}

/** What a mount touched, in order of time (docs/formats/trace.md). */
export interface Trace extends Omit<z.infer<typeof Header>, 'v' | 'format'> {
  readonly touches: readonly Touch[];
  readonly totals: Omit<z.infer<typeof End>, 'touches'>;
}

/** Throws TRACE_INVALID for anything that the daemon would not write. */
export function parseTrace(text: string): Trace {
  if (text.length > MAX_TRACE_BYTES) throw invalid(`${text.length} characters are too many`);
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.length < 2) throw invalid('it is cut off');
  if (lines.length - 2 > MAX_TOUCHES) throw invalid(`${lines.length - 2} touches are too many`);
  const { v: _, format: __, ...header } = parsed(Header, lines[0] ?? '', 1);
  const { touches: promised, ...totals } = parsed(End, lines.at(-1) ?? '', lines.length);
  const touches = lines.slice(1, -1).map((line, at) => touchOf(parsed(Row, line, at + 2), header.layers, at + 2));
  if (touches.length !== promised) throw invalid(`${touches.length} touches, ${promised} are promised`);
  touches.forEach(({ atUs }, at) => {
    if (atUs < (touches[at - 1]?.atUs ?? 0)) throw invalid(`line ${at + 2} is earlier than the one before`);
  });
  return { ...header, touches, totals };
}

function touchOf(row: z.infer<typeof Row>, layers: readonly TracedLayer[], line: number): Touch {
  const [layer, firstChunk, chunkCount, offset, length, atUs, waitUs, tier, packed] = row;
  const known = layers[layer];
  if (known === undefined) throw invalid(`line ${line} names layer ${layer}, there are ${layers.length}`);
  if (chunkCount < 1 || chunkCount > MAX_CHUNKS_A_TOUCH || firstChunk + chunkCount > known.chunks)
    throw invalid(`line ${line}: layer ${layer} has no ${chunkCount} chunks from ${firstChunk}`);
  const bytes = Buffer.from(packed, 'base64url');
  if (bytes.length !== chunkCount * SHORT_DIGEST_BYTES || bytes.toString('base64url') !== packed)
    throw invalid(`line ${line} has no ${chunkCount} digests`);
  const digests = Array.from({ length: chunkCount }, (_, at) =>
    bytes.subarray(at * SHORT_DIGEST_BYTES, (at + 1) * SHORT_DIGEST_BYTES).toString('base64url'),
  );
  return { layer, firstChunk, chunkCount, offset, length, atUs, waitUs, tier, digests };
}

function parsed<T>(shape: z.ZodType<T>, line: string, number: number): T {
  try {
    return shape.parse(JSON.parse(line));
  } catch (thrown) {
    const why =
      thrown instanceof z.ZodError ? thrown.issues.map(({ message }) => message).join('; ') : messageOf(thrown);
    throw new WorkerError('TRACE_INVALID', `no trace: line ${number}: ${why.slice(0, 300)}`, {}, { cause: thrown });
  }
}

function invalid(why: string): WorkerError {
  return new WorkerError('TRACE_INVALID', `no trace: ${why}`);
}
