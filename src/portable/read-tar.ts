import { DEFAULT_LIMITS, type Limits } from '../config/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { layerCodecOf } from '../oci/index.ts';
import { BlobReader } from './blob/blob-reader.ts';
import { plainStream } from './blob/plain-stream.ts';
import { SpanList } from './blob/span-list.ts';
import type { Entry } from './entry.ts';
import type { LayerBlob } from './index-layer.ts';
import { TarWalker } from './tar/tar-walker.ts';

export interface ReadTarOptions extends Cancelable {
  readonly limits?: Partial<Limits>;
  /** Sees each entry soon after its header and before the stream ends; what it throws ends the stream. */
  readonly onEntry: (entry: Entry) => void;
}

/**
 * The plain tar of a layer as it streams by, walked entry by entry. At its end the blob is proven to be the expected one.
 * Throws LAYER_TRUNCATED, LAYER_CORRUPT, LAYER_PATH_INVALID, LIMIT_EXCEEDED, BLOB_MISMATCH, MEDIA_TYPE_UNSUPPORTED.
 */
export async function* readTar(
  layer: LayerBlob,
  { onEntry, signal, ...options }: ReadTarOptions,
): AsyncGenerator<Buffer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  await using blob = new BlobReader(layer.path, { signal });
  const walker = new TarWalker(limits, Number.MAX_SAFE_INTEGER);
  let seen = 0;
  const look = () => {
    for (const entry of walker.entries.slice(seen)) onEntry(entry);
    seen = walker.entries.length;
  };
  for await (const piece of plainStream(blob, layerCodecOf(layer.mediaType), new SpanList(limits), limits)) {
    signal.throwIfAborted();
    walker.feed(piece);
    look();
    yield piece;
  }
  walker.end();
  look();
  const digest = blob.digest();
  if (layer.expected !== undefined && digest !== layer.expected.digest)
    throw new WorkerError('BLOB_MISMATCH', `the blob is ${digest}, expected ${layer.expected.digest}`, {
      expected: layer.expected.digest,
      actual: digest,
    });
}
