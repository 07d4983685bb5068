import { hexOf } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import type { IndexedLayer } from '../index-layer.ts';

const CODECS = { plain: 0, gzip: 1, zstd: 2 } as const;
/** The kernel gives the devices of a metadata image 16-bit numbers, and 0 to the image itself. */
const MAX_LAYERS = 65_535;

/** Section `layers` (docs/formats/archive.md): a record for each distinct layer, in device order. Throws LIMIT_EXCEEDED. */
export function encodeLayersSection(layers: readonly IndexedLayer[]): Buffer {
  if (layers.length > MAX_LAYERS)
    throw new WorkerError('LIMIT_EXCEEDED', `${layers.length} layers, at most ${MAX_LAYERS}`);
  return Buffer.concat([u32(layers.length), u32(0), ...layers.flatMap(recordOf)]);
}

/** Every part is a multiple of 8 bytes, so padding counts from the section as it does from the part. */
function recordOf(layer: IndexedLayer): readonly Buffer[] {
  const { chunks, spans } = layer;
  const mediaType = Buffer.from(layer.mediaType, 'utf8');
  const head = [
    Buffer.from(hexOf(layer.digest), 'hex'),
    Buffer.from(hexOf(layer.diffId), 'hex'),
    u64Column([layer.blobBytes, layer.plainBytes]),
    Buffer.from([CODECS[layer.codec], 0, 0, 0]),
    u32(layer.chunkBytes),
    u64Column([layer.firstSpan]),
    ...[mediaType.length, spans.length, chunks.length, 0].map(u32),
  ];
  return [
    ...head,
    padded(mediaType),
    u64Column(spans.map(({ storedBytes }) => storedBytes)),
    u64Column(spans.map(({ plainBytes }) => plainBytes)),
    padded(Buffer.concat(chunks.map(({ plainBytes }) => u32(plainBytes)))),
    Buffer.concat(chunks.map(({ digest }) => digest)),
  ];
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
}

function u64Column(values: readonly number[]): Buffer {
  const out = Buffer.alloc(8 * values.length);
  values.forEach((value, at) => {
    out.writeBigUInt64LE(BigInt(value), 8 * at);
  });
  return out;
}
