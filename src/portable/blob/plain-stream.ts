import type { LayerCodec } from '../../archive/index.ts';
import type { Limits } from '../../config/index.ts';
import { beyond } from '../failure.ts';
import type { BlobReader } from './blob-reader.ts';
import { readGzip } from './gzip.ts';
import { readPlain } from './plain.ts';
import type { SpanList } from './span-list.ts';
import { readZstd } from './zstd.ts';

/** The tar in a blob, piece by piece; the spans found on the way go into the list. Throws LIMIT_EXCEEDED for a bomb. */
export async function* plainStream(
  blob: BlobReader,
  codec: LayerCodec,
  spans: SpanList,
  limits: Limits,
): AsyncGenerator<Buffer> {
  let plainBytes = 0;
  for await (const piece of readerOf(blob, codec, spans, limits)) {
    plainBytes += piece.length;
    checkSize(plainBytes, blob.position, limits);
    yield piece;
  }
}

function readerOf(blob: BlobReader, codec: LayerCodec, spans: SpanList, limits: Limits): AsyncGenerator<Buffer> {
  switch (codec) {
    case 'plain':
      return readPlain(blob);
    case 'gzip':
      return readGzip(blob, spans);
    case 'zstd':
      return readZstd(blob, spans, limits);
  }
}

function checkSize(plainBytes: number, storedBytes: number, limits: Limits): void {
  if (plainBytes > limits.maxPlainBytes) throw beyond(`a layer of ${plainBytes} plain bytes`, limits, 'maxPlainBytes');
  if (plainBytes > limits.ratioFreeBytes && Math.floor(plainBytes / Math.max(limits.maxRatio, 1)) > storedBytes)
    throw beyond(`${plainBytes} plain bytes from ${storedBytes} stored ones: the ratio`, limits, 'maxRatio');
}
