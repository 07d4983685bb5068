import type { Limits } from '../config/index.ts';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { findNativeTool, type NativeToolPaths, runTool } from '../native/index.ts';
import { type Compression, DEFAULT_LEVEL } from './compression.ts';
import { AssembleResult, LayerResult, VerifyResult } from './results.ts';

/** One layer to read once: packed into a new blob, or kept as it is. */
export interface LayerTask {
  readonly id: string;
  /** A file, or `socket:` and a unix socket that serves blobs (layer-feed.ts). */
  readonly source: string;
  /** The file with the stretches of a stream that is put together; `source` is then its plan. */
  readonly data?: string;
  readonly mediaType: string;
  readonly diffId?: Digest;
  readonly expected?: { readonly digest: Digest; readonly sizeBytes: number };
  /** Where the packed blob goes; absent: the bytes are kept and only indexed. */
  readonly output?: string;
  readonly index: string;
}

export interface PackOptions extends Cancelable {
  readonly tools: NativeToolPaths;
  readonly jobs: number;
  readonly compression: Compression;
  readonly limits: Limits;
  readonly onProgress?: (id: string, doneBytes: number, totalBytes: number | undefined) => void;
  /** So many bytes stand in a layer's `output`. Told in order, before the layer is done. */
  readonly onWritten?: (id: string, writtenBytes: number) => void;
  /** Gets what sets the zstd level of all that is not compressed yet. */
  readonly onStart?: (setLevel: (level: number) => void) => void;
}

/**
 * Runs `clipyard-index pack` over layers, side by side on `jobs` cores, and yields each as it is done. Outputs stand at
 * exactly the paths named. Throws the tool's codes: LAYER_TRUNCATED, DIFF_ID_MISMATCH, BLOB_MISMATCH, …
 */
export async function* packLayers(
  tasks: readonly LayerTask[],
  options: PackOptions,
): AsyncGenerator<{ id: string; layer: LayerResult }> {
  if (tasks.length === 0) return;
  const { compression, jobs, limits, signal, tools, onProgress, onStart, onWritten } = options;
  const request = {
    v: 1,
    jobs,
    chunkBytes: compression.chunkBytes,
    limits,
    layers: tasks.map((task) => layerRequest(task, compression)),
  };
  const running = {
    signal,
    onStart: (send: (line: unknown) => void) => {
      onStart?.((level) => {
        send({ level });
      });
    },
  };
  for await (const event of runTool(findNativeTool('clipyard-index', tools), ['pack'], request, running)) {
    if (event.event === 'written') onWritten?.(event.id, event.writtenBytes);
    else if (event.event === 'progress') onProgress?.(event.id, event.doneBytes, event.totalBytes);
    else if (event.id !== '') yield { id: event.id, layer: LayerResult.parse(event.result) };
  }
}

function layerRequest(task: LayerTask, compression: Compression) {
  const { codec } = compression;
  const level = compression.level === 'auto' ? DEFAULT_LEVEL : compression.level;
  const { id, source, data, mediaType, diffId, expected, output, index } = task;
  const action = output === undefined ? { kind: 'keep' } : { kind: 'pack', codec, level, output };
  return {
    id,
    source,
    data,
    mediaType,
    diffId,
    expectedDigest: expected?.digest,
    expectedSize: expected?.sizeBytes,
    action,
    index,
  };
}

/** `clipyard`: an index with sections. `v1`: CLIP's local data archive, with the bytes of every file inside. */
export type ArchiveFormat = 'clipyard' | 'v1';

export interface AssembleRequest {
  readonly output: string;
  /** Default: `clipyard`. */
  readonly format?: ArchiveFormat;
  /** In manifest order, lowest first; `blob` is where the bytes are, which `v1` needs. */
  readonly layers: readonly {
    readonly index: string;
    readonly digest: Digest;
    readonly mediaType: string;
    readonly blob?: string;
  }[];
  /** Files that hold exactly the bytes of the image configuration and of the manifest. */
  readonly config: string;
  readonly manifest: string;
  readonly storage: { readonly registry: string; readonly repository: string; readonly reference: Digest };
  readonly imageName: string;
}

/** Runs `clipyard-index assemble`: layer indexes and the manifest become an archive. Only `v1` needs layer bytes. */
export async function assembleArchive(
  request: AssembleRequest,
  { tools, signal }: Cancelable & { readonly tools: NativeToolPaths },
): Promise<AssembleResult> {
  return AssembleResult.parse(await lastResult('assemble', { v: 1, ...request }, { tools, signal }));
}

/** Runs `clipyard-index verify` on the archive alone: every digest, length and padding byte, and both file trees. */
export async function verifyArchive(
  archive: string,
  { tools, signal }: Cancelable & { readonly tools: NativeToolPaths },
): Promise<VerifyResult> {
  return VerifyResult.parse(await lastResult('verify', { v: 1, archive }, { tools, signal }));
}

/** The encoder ids that key cached packs: library, version and index format, as the tool itself names them. */
export async function encoderIds({
  tools,
  signal,
}: Cancelable & { readonly tools: NativeToolPaths }): Promise<Readonly<Record<string, string>>> {
  const result = await lastResult('encoders', { v: 1 }, { tools, signal });
  return result as Record<string, string>;
}

async function lastResult(
  command: string,
  request: unknown,
  { tools, signal }: Cancelable & { readonly tools: NativeToolPaths },
): Promise<unknown> {
  let result: unknown;
  for await (const event of runTool(findNativeTool('clipyard-index', tools), [command], request, { signal })) {
    if (event.event === 'result') result = event.result;
  }
  if (result === undefined)
    throw new WorkerError('NATIVE_TOOL_FAILED', `clipyard-index ${command} ended without a result`);
  return result;
}
