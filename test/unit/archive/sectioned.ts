import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';

export const FIXTURES = join(import.meta.dirname, '../../fixtures/clip');

export interface TestSection {
  readonly type: number;
  readonly plain: Buffer;
  readonly version?: number;
  readonly flags?: number;
  readonly encoding?: 0 | 1;
  /** Plain bytes of each zstd frame; absent: one frame. */
  readonly frameBytes?: number;
}

const PAGE = 4096;
export const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const padded = (bytes: Buffer, unit = PAGE): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((unit - (bytes.length % unit)) % unit)]);

/** A CLIP archive of the stock writer with our mark in its header. */
export function markedClip(): Buffer {
  const clip = readFileSync(join(FIXTURES, 'two/image.clip'));
  clip.write('oci\0clipyard', 42, 'latin1');
  return clip;
}

function framesOf(plain: Buffer, frameBytes: number): Buffer {
  const count = Math.max(1, Math.ceil(plain.length / Math.max(1, frameBytes)));
  const pieces = Array.from({ length: count }, (_, at) => plain.subarray(at * frameBytes, (at + 1) * frameBytes));
  return Buffer.concat(pieces.map((piece) => zstdCompressSync(piece)));
}

/** Puts sections and a footer behind a CLIP part, straight from docs/formats/archive.md. */
export function sectionedArchive(
  sections: readonly TestSection[],
  changeFooter: (footer: Buffer) => void = () => undefined,
): Buffer {
  const clip = markedClip();
  const parts = [padded(clip)];
  const footer = Buffer.alloc(PAGE);
  let offset = parts[0]!.length;
  sections.forEach(
    ({ type, plain, version = 1, flags = type === 5 ? 0 : 1, encoding = 1, frameBytes = plain.length }, at) => {
      const stored = encoding === 1 ? framesOf(plain, frameBytes) : plain;
      const record = footer.subarray(64 + at * 64, 128 + at * 64);
      for (const [field, value] of [type, version, flags, encoding].entries()) record.writeUInt16LE(value, field * 2);
      for (const [field, value] of [offset, stored.length, plain.length].entries()) {
        record.writeBigUInt64LE(BigInt(value), 8 + field * 8);
      }
      sha256(stored).copy(record, 32);
      parts.push(padded(stored));
      offset += padded(stored).length;
    },
  );
  footer.write('CLIPYARD', 0, 'latin1');
  footer.writeUInt16LE(1, 8);
  footer.writeUInt32LE(sections.length, 12);
  footer.writeBigUInt64LE(BigInt(clip.length), 16);
  footer.writeBigUInt64LE(BigInt(offset + PAGE), 24);
  sha256(clip).copy(footer, 32);
  changeFooter(footer);
  sha256(footer.subarray(0, 4064)).copy(footer, 4064);
  return Buffer.concat([...parts, footer]);
}

export interface TestLayer {
  readonly mediaType: string;
  readonly chunkLengths: readonly number[];
  readonly spans: readonly (readonly [stored: number, plain: number])[];
  readonly kind?: number;
  readonly seek?: boolean;
  readonly firstSpan?: number;
  readonly seed?: string;
}

/** The section `layers`, straight from docs/formats/archive.md. */
export function layersSection(layers: readonly TestLayer[]): Buffer {
  const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
  const u64 = (value: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const records = layers.map(
    ({ mediaType, chunkLengths, spans, kind = 0, seek = false, firstSpan = 0, seed = mediaType }) =>
      Buffer.concat([
        sha256(Buffer.from(`blob ${seed}`)),
        sha256(Buffer.from(`plain ${seed}`)),
        u64(firstSpan + sum(spans.map(([stored]) => stored))),
        u64(sum(chunkLengths)),
        Buffer.from([2, kind, seek ? 1 : 0, 0]),
        u32(4096),
        u64(firstSpan),
        ...[mediaType.length, spans.length, chunkLengths.length, 0].map(u32),
        padded(Buffer.from(mediaType), 8),
        ...spans.map(([stored]) => u64(stored)),
        ...spans.map(([, plain]) => u64(plain)),
        ...(seek
          ? [
              padded(Buffer.from(spans.map((_, at) => at % 8)), 8),
              ...spans.map((_, at) => u64(at * 100)),
              padded(Buffer.concat(spans.map(() => u32(100))), 8),
              ...spans.map((_, at) => sha256(Buffer.from([at]))),
            ]
          : []),
        padded(Buffer.concat(chunkLengths.map(u32)), 8),
        ...chunkLengths.map((_, at) => sha256(Buffer.from(`${seed} ${at}`))),
      ]),
  );
  return Buffer.concat([u32(layers.length), u32(0), ...records]);
}

export const LAYER: TestLayer = {
  mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
  chunkLengths: [4096, 4096, 100],
  spans: [
    [60, 4096],
    [70, 4096],
    [20, 100],
  ],
};

/** The section `config`, straight from docs/formats/archive.md. */
export function configSection(
  config: string,
  manifest: string,
  storage = `127.0.0.1:5000/a/b@sha256:${sha256(Buffer.from(manifest)).toString('hex')}`,
): Buffer {
  return Buffer.concat(
    [config, manifest, storage].flatMap((text) => [Buffer.from(Uint32Array.of(text.length).buffer), Buffer.from(text)]),
  );
}

/** A small archive with every kind of section that is there without foreign layers. */
export function smallArchive(changeFooter?: (footer: Buffer) => void): Buffer {
  return sectionedArchive(
    [
      { type: 5, plain: configSection('{"c":1}', '{"m":1}') },
      { type: 4, plain: Buffer.from('extra data'), encoding: 0 },
      { type: 2, plain: layersSection([LAYER]) },
      { type: 1, plain: Buffer.alloc(1024, 'erofs') },
    ],
    changeFooter,
  );
}
