import { createHash } from 'node:crypto';
import type { LayerRecord } from '../../../src/archive/index.ts';
import type { Digest } from '../../../src/digest/index.ts';
import type { Touch, Trace } from '../../../src/trace/trace-file.ts';

export const CHUNK = 262_144;

/** A layer of whole chunks, each its own span of half the size. */
export function madeLayer(name: string, chunkCount: number): LayerRecord {
  const digest = `sha256:${createHash('sha256').update(name).digest('hex')}` as Digest;
  const digests = Array.from({ length: chunkCount }, (_, at) => createHash('sha256').update(`${name} ${at}`).digest());
  return {
    kind: 'layer',
    digest,
    diffId: digest,
    mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
    blobBytes: (chunkCount * CHUNK) / 2,
    plainBytes: chunkCount * CHUNK,
    codec: 'zstd',
    chunkBytes: CHUNK,
    firstSpan: 0,
    spans: digests.map(() => ({ storedBytes: CHUNK / 2, plainBytes: CHUNK })),
    seek: undefined,
    chunkLengths: digests.map(() => CHUNK),
    chunkDigests: Buffer.concat(digests),
    chunkTableDigest: digest,
  };
}

export function touchOf(
  layers: readonly LayerRecord[],
  layer: number,
  firstChunk: number,
  {
    chunkCount = 1,
    atUs = 0,
    waitUs = 0,
    tier = 'missing',
    length = 4096,
  }: Partial<Pick<Touch, 'chunkCount' | 'length' | 'atUs' | 'waitUs' | 'tier'>> = {},
): Touch {
  const digests = Array.from({ length: chunkCount }, (_, at) =>
    (layers[layer]?.chunkDigests ?? Buffer.alloc(0))
      .subarray((firstChunk + at) * 32, (firstChunk + at) * 32 + 16)
      .toString('base64url'),
  );
  return { layer, firstChunk, chunkCount, offset: firstChunk * CHUNK, length, atUs, waitUs, tier, digests };
}

export function traceOf(layers: readonly LayerRecord[], touches: readonly Touch[]): Trace {
  return {
    source: 'team/web',
    storageRef: 'registry.example/team/web:1',
    entry: 'python3 -m app',
    startedAt: '2026-01-01T00:00:00.000Z',
    engine: 'erofs',
    layers: layers.map((layer) => ({
      diffId: layer.diffId,
      digest: layer.digest,
      chunkTable: layer.chunkTableDigest,
      plainBytes: layer.plainBytes,
      chunks: layer.chunkLengths.length,
      mode: 'lazy',
      reason: undefined,
    })),
    touches,
    totals: { dropped: 0, recordedUs: 1e6, wantedBytes: 4096, fetchedBytes: 8192, requests: 2, retries: 0 },
  };
}

/** As the daemon writes it. */
export function textOf({ layers, totals, touches, ...header }: Trace): string {
  const rows = touches.map((t) => [
    t.layer,
    t.firstChunk,
    t.chunkCount,
    t.offset,
    t.length,
    t.atUs,
    t.waitUs,
    t.tier,
    Buffer.concat(t.digests.map((digest) => Buffer.from(digest, 'base64url'))).toString('base64url'),
  ]);
  const lines = [
    { v: 1, format: 'clipyard-trace', ...header, layers: layers.map((l) => ({ ...l, reason: l.reason ?? null })) },
    ...rows,
    { touches: touches.length, ...totals },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}
