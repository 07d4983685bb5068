import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { LayerCodec } from '../archive/index.ts';
import { DEFAULT_LIMITS, type Limits } from '../config/index.ts';
import { type Digest, digestOfHex } from '../digest/index.ts';
import { type Cancelable, type ErrorCode, toWorkerError, WorkerError } from '../errors/index.ts';
import { layerCodecOf } from '../oci/index.ts';
import { BlobReader } from './blob/blob-reader.ts';
import { type LayerFormat, recognise } from './blob/format.ts';
import { plainStream } from './blob/plain-stream.ts';
import { type Span, SpanList } from './blob/span-list.ts';
import { type Chunk, ChunkTable } from './chunk-table.ts';
import type { Entry, LayerWarnings } from './entry.ts';
import { TarWalker } from './tar/tar-walker.ts';

/** A layer's blob on this machine, and what it must turn out to be. */
export interface LayerBlob {
  readonly path: string;
  readonly mediaType: string;
  readonly diffId?: Digest;
  readonly expected?: { readonly digest: Digest; readonly sizeBytes: number };
}

/** What one pass over a layer gives: its record in the archive, and its entries in stream order. */
export interface IndexedLayer {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly mediaType: string;
  readonly codec: LayerCodec;
  readonly blobBytes: number;
  readonly plainBytes: number;
  readonly chunkBytes: number;
  readonly firstSpan: number;
  readonly spans: readonly Span[];
  readonly chunks: readonly Chunk[];
  readonly format: LayerFormat;
  /** There is a zstd seek table that does not fit the frames. */
  readonly ignoredSeekTable: boolean;
  readonly entries: readonly Entry[];
  readonly warnings: Readonly<LayerWarnings>;
}

export interface IndexLayerOptions extends Cancelable {
  readonly chunkBytes: number;
  readonly limits?: Partial<Limits>;
  readonly onProgress?: (doneBytes: number) => void;
}

/**
 * Reads a layer once, as it is. Throws LAYER_TRUNCATED, LAYER_CORRUPT, LAYER_PATH_INVALID, LIMIT_EXCEEDED,
 * BLOB_MISMATCH, DIFF_ID_MISMATCH, MEDIA_TYPE_UNSUPPORTED.
 */
export async function indexLayer(layer: LayerBlob, options: IndexLayerOptions): Promise<IndexedLayer> {
  const codec = layerCodecOf(layer.mediaType);
  const { size } = await stat(layer.path).catch((thrown: unknown) => {
    throw toWorkerError(thrown, `open ${layer.path}`);
  });
  requireSame('BLOB_MISMATCH', layer.expected?.sizeBytes, size);
  try {
    const indexed = await readLayer(layer, codec, options);
    requireSame('BLOB_MISMATCH', layer.expected?.sizeBytes, indexed.blobBytes);
    requireSame('BLOB_MISMATCH', layer.expected?.digest, indexed.digest);
    requireSame('DIFF_ID_MISMATCH', layer.diffId, indexed.diffId);
    return indexed;
  } catch (thrown) {
    options.signal.throwIfAborted();
    // a blob that is not the one asked for explains its damage best
    if (thrown instanceof WorkerError && BLAMES_BYTES.has(thrown.code))
      requireSame('BLOB_MISMATCH', layer.expected?.digest, await digestOfFile(layer.path, options));
    throw thrown;
  }
}

const BLAMES_BYTES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'LAYER_TRUNCATED',
  'LAYER_CORRUPT',
  'LAYER_PATH_INVALID',
  'LIMIT_EXCEEDED',
]);

async function readLayer(layer: LayerBlob, codec: LayerCodec, options: IndexLayerOptions): Promise<IndexedLayer> {
  const { chunkBytes, onProgress, signal } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  await using blob = new BlobReader(layer.path, { signal });
  const spans = new SpanList(limits);
  const walker = new TarWalker(limits, chunkBytes);
  const table = new ChunkTable(chunkBytes);
  const hash = createHash('sha256');
  let plainBytes = 0;
  for await (const piece of plainStream(blob, codec, spans, limits)) {
    signal.throwIfAborted();
    plainBytes += piece.length;
    hash.update(piece);
    table.write(piece, walker.feed(piece));
    onProgress?.(blob.position);
  }
  walker.end();
  const recognised = await recognise(codec, layer.path, spans, limits);
  const chunks = table.finish();
  return {
    digest: blob.digest(),
    diffId: digestOfHex(hash.digest('hex')),
    mediaType: layer.mediaType,
    codec,
    blobBytes: blob.position,
    plainBytes,
    chunkBytes,
    firstSpan: spans.first,
    // a plain blob can be read from anywhere: its chunks are its spans
    spans:
      codec === 'plain'
        ? chunks.map(({ plainBytes: bytes }) => ({ storedBytes: bytes, plainBytes: bytes }))
        : spans.spans,
    chunks,
    ...recognised,
    entries: walker.entries,
    warnings: walker.warnings,
  };
}

function requireSame<T extends string | number>(
  code: 'BLOB_MISMATCH' | 'DIFF_ID_MISMATCH',
  expected: T | undefined,
  actual: T,
): void {
  if (expected === undefined || expected === actual) return;
  const what = code === 'BLOB_MISMATCH' ? 'the blob' : 'the uncompressed layer';
  const unit = typeof actual === 'number' ? ' bytes' : '';
  throw new WorkerError(code, `${what} is ${actual}${unit}, expected ${expected}${unit}`, {
    expected: `${expected}${unit}`,
    actual: `${actual}${unit}`,
  });
}

async function digestOfFile(path: string, { signal }: Cancelable): Promise<Digest> {
  await using blob = new BlobReader(path, { signal });
  for await (const _piece of blob.pass(Number.MAX_SAFE_INTEGER)) signal.throwIfAborted();
  return blob.digest();
}
