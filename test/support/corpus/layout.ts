import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';

export type LayoutCodec = 'plain' | 'gzip' | 'gzip-members' | 'zstd';

export interface LayoutLayer {
  readonly path: string;
  readonly digest: string;
  readonly diffId: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/** An image on disk with what a test needs to know about it. */
export interface Layout {
  readonly dir: string;
  readonly layers: readonly LayoutLayer[];
  readonly configPath: string;
  readonly manifestPath: string;
  readonly manifestDigest: string;
}

const SUFFIX = { plain: '', gzip: '+gzip', 'gzip-members': '+gzip', zstd: '+zstd' } as const;
const ENCODE = {
  plain: (bytes: Buffer) => bytes,
  gzip: (bytes: Buffer) => gzipSync(bytes),
  'gzip-members': inMembers,
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
} as const;

/** Members of 256 KiB of plain data, as pigz --independent and bgzip write them. */
function inMembers(bytes: Buffer): Buffer {
  const step = 262_144;
  const parts = Array.from({ length: Math.ceil(bytes.length / step) }, (_, at) =>
    gzipSync(bytes.subarray(at * step, (at + 1) * step)),
  );
  return Buffer.concat(parts);
}

/** A layer as another tool would store it. */
export interface Stored {
  readonly encode?: (tar: Buffer) => Buffer;
  readonly mediaType?: string;
}

/** Writes layers as an OCI layout (image-spec 1.1, image-layout.md) whose index names one image `latest`. */
export async function writeLayout(
  dir: string,
  tars: readonly Buffer[],
  codec: LayoutCodec,
  { encode = ENCODE[codec], mediaType = `application/vnd.oci.image.layer.v1.tar${SUFFIX[codec]}` }: Stored = {},
): Promise<Layout> {
  await mkdir(join(dir, 'blobs/sha256'), { recursive: true });
  const layers: LayoutLayer[] = [];
  for (const tar of tars) {
    const blob = await putBlob(dir, encode(tar));
    layers.push({ ...blob, diffId: sha256(tar), mediaType });
  }
  const config = await putJson(dir, {
    created: '2026-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: ['PATH=/usr/bin:/bin', 'NOTE=awkward'],
      Cmd: ['/bin/sh'],
      WorkingDir: '/srv',
      User: '1000',
      Labels: { a: 'b', c: 'd' },
      ExposedPorts: { '80/tcp': {} },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map((_, at) => ({ created: '2026-01-01T00:00:00Z', created_by: `layer ${at}` })),
  });
  const manifest = await putJson(dir, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config.digest, size: config.sizeBytes },
    layers: layers.map(({ mediaType, digest, sizeBytes }) => ({ mediaType, digest, size: sizeBytes })),
  });
  await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(
    join(dir, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: manifest.digest,
          size: manifest.sizeBytes,
          annotations: { 'org.opencontainers.image.ref.name': 'latest' },
          platform: { architecture: 'amd64', os: 'linux' },
        },
      ],
    }),
  );
  return { dir, layers, configPath: config.path, manifestPath: manifest.path, manifestDigest: manifest.digest };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function putJson(dir: string, value: unknown): Promise<Pick<LayoutLayer, 'path' | 'digest' | 'sizeBytes'>> {
  return putBlob(dir, Buffer.from(JSON.stringify(value)));
}

async function putBlob(dir: string, bytes: Buffer): Promise<Pick<LayoutLayer, 'path' | 'digest' | 'sizeBytes'>> {
  const digest = sha256(bytes);
  const path = join(dir, 'blobs/sha256', digest.slice('sha256:'.length));
  await writeFile(path, bytes);
  return { path, digest, sizeBytes: bytes.length };
}
