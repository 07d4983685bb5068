import { createHash } from 'node:crypto';
import { type Digest, digestOfHex } from '../digest/index.ts';
import { corrupt } from './failure.ts';
import { FieldReader } from './field-reader.ts';

export type LayerCodec = 'plain' | 'gzip' | 'zstd';
const CODECS: readonly LayerCodec[] = ['plain', 'gzip', 'zstd'];
const DIGEST_BYTES = 32;

/** A device of the metadata image: a layer, or the section `extra` (docs/formats/archive.md, "Section layers"). */
export interface LayerRecord {
  readonly kind: 'layer' | 'extra';
  /** Of the blob as the registry stores it. */
  readonly digest: Digest;
  /** Of the plain tar stream. */
  readonly diffId: Digest;
  readonly mediaType: string;
  readonly blobBytes: number;
  readonly plainBytes: number;
  readonly codec: LayerCodec;
  readonly chunkBytes: number;
  /** Offset of the first span in the blob. */
  readonly firstSpan: number;
  /** Parts of the blob that can be decoded alone, one behind the other. */
  readonly spans: readonly { readonly storedBytes: number; readonly plainBytes: number }[];
  /** Where a span of a foreign gzip layer starts inside a byte and which window it needs; undefined when spans are whole. */
  readonly seek: readonly SeekPoint[] | undefined;
  /** Plain lengths of the chunks, one behind the other. */
  readonly chunkLengths: readonly number[];
  /** BLAKE3 of the chunks, 32 bytes each. */
  readonly chunkDigests: Buffer;
  /** sha256 of the columns chunkPlain and chunkDigest: keys the runtime cache together with the diffID. */
  readonly chunkTableDigest: Digest;
}

export interface SeekPoint {
  /** Bits of the byte before the span that belong to it, 0 to 7. */
  readonly bits: number;
  readonly windowOffset: number;
  /** 0: the span starts with an empty window. */
  readonly windowStoredBytes: number;
  /** BLAKE3 of the stored window. */
  readonly windowDigest: Buffer;
}

/** Throws ARCHIVE_CORRUPT for anything a writer would not write. */
export function parseLayersSection(bytes: Buffer): readonly LayerRecord[] {
  const reader = new FieldReader(bytes, 'layers');
  const count = reader.u32();
  reader.zeros(4);
  // The shortest record has 128 bytes; checked so that a forged count cannot reserve memory.
  if (count * 128 > bytes.length) throw corrupt(`${count} layers in ${bytes.length} bytes`);
  const layers = Array.from({ length: count }, () => parseLayer(reader));
  reader.end();
  layers.forEach(({ kind }, at) => {
    if (kind === 'extra' && at !== count - 1) throw corrupt('the extra device is not the last');
  });
  if (new Set(layers.map(({ diffId }) => diffId)).size !== count) throw corrupt('a diffID is there twice');
  return layers;
}

function parseLayer(reader: FieldReader): LayerRecord {
  const digest = readDigest(reader);
  const diffId = readDigest(reader);
  const [blobBytes, plainBytes] = [reader.u64(), reader.u64()];
  const codec = CODECS[reader.u8()];
  const kind = ([`layer`, `extra`] as const)[reader.u8()];
  const hasSeek = reader.u8();
  if (codec === undefined || kind === undefined || hasSeek > 1)
    throw corrupt(`layer ${digest} has an unknown codec, kind or flag`);
  reader.zeros(1);
  const chunkBytes = reader.u32();
  const firstSpan = reader.u64();
  const [mediaTypeLength, spanCount, chunkCount] = [reader.u32(), reader.u32(), reader.u32()];
  reader.zeros(4);
  const mediaType = reader.bytes(mediaTypeLength).toString('utf8');
  reader.align(8);
  const [spanStored, spanPlain] = [reader.column(spanCount, 8), reader.column(spanCount, 8)];
  const seek = hasSeek === 1 ? parseSeek(reader, spanCount) : undefined;
  const { chunkLengths, chunkDigests, chunkTableDigest } = parseChunks(reader, chunkCount);
  const spans = spanStored.map((storedBytes, at) => ({ storedBytes, plainBytes: spanPlain[at] ?? 0 }));
  const layer = {
    kind,
    digest,
    diffId,
    mediaType,
    blobBytes,
    plainBytes,
    codec,
    chunkBytes,
    firstSpan,
    spans,
    seek,
    chunkLengths,
    chunkDigests,
    chunkTableDigest,
  };
  requireSums(layer);
  return layer;
}

function parseSeek(reader: FieldReader, count: number): readonly SeekPoint[] {
  const bits = reader.column(count, 1);
  reader.align(8);
  const offsets = reader.column(count, 8);
  const lengths = reader.column(count, 4);
  reader.align(8);
  return bits.map((value, at) => {
    if (value > 7) throw corrupt(`a span starts ${value} bits early`);
    return {
      bits: value,
      windowOffset: offsets[at] ?? 0,
      windowStoredBytes: lengths[at] ?? 0,
      windowDigest: reader.bytes(DIGEST_BYTES),
    };
  });
}

function parseChunks(
  reader: FieldReader,
  count: number,
): Pick<LayerRecord, 'chunkLengths' | 'chunkDigests' | 'chunkTableDigest'> {
  const padded = Math.ceil((count * 4) / 8) * 8;
  const table = reader.bytes(padded + count * DIGEST_BYTES);
  const lengths = new FieldReader(table.subarray(0, padded), 'layers');
  const chunkLengths = lengths.column(count, 4);
  lengths.align(8);
  return {
    chunkLengths,
    chunkDigests: table.subarray(padded),
    chunkTableDigest: digestOfHex(createHash('sha256').update(table).digest('hex')),
  };
}

function requireSums({ digest, blobBytes, plainBytes, firstSpan, spans, chunkBytes, chunkLengths }: LayerRecord): void {
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  if (chunkBytes < 4096 || chunkBytes > 2 ** 24 || (chunkBytes & (chunkBytes - 1)) !== 0)
    throw corrupt(`layer ${digest} has chunks of ${chunkBytes} bytes`);
  if (chunkLengths.some((length) => length === 0 || length > chunkBytes))
    throw corrupt(`layer ${digest} has a chunk that is empty or too long`);
  if (sum(chunkLengths) !== plainBytes) throw corrupt(`the chunks of layer ${digest} do not make ${plainBytes} bytes`);
  if (sum(spans.map((span) => span.plainBytes)) !== plainBytes)
    throw corrupt(`the spans of layer ${digest} do not make ${plainBytes} bytes`);
  if (firstSpan + sum(spans.map((span) => span.storedBytes)) > blobBytes)
    throw corrupt(`the spans of layer ${digest} go beyond its ${blobBytes} bytes`);
}

function readDigest(reader: FieldReader): Digest {
  return digestOfHex(reader.bytes(DIGEST_BYTES).toString('hex'));
}
