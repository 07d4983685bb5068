import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findNativeTool, nativeToolPaths, runTool } from '../../../src/native/index.ts';
import type { Layout, LayoutLayer } from '../corpus/index.ts';

const ROOT = join(import.meta.dirname, '../../..');
const { signal } = new AbortController();

/** Runs a request of clipyard-index to its end and gives its results by id. */
export async function indexTool(command: string, request: object): Promise<ReadonlyMap<string, unknown>> {
  const path = findNativeTool('clipyard-index', nativeToolPaths(process.env, ROOT));
  const results = new Map<string, unknown>();
  for await (const event of runTool(path, [command], { v: 1, ...request }, { signal })) {
    if (event.event === 'result') results.set(event.id, event.result);
  }
  return results;
}

/** A layer as `pack` left it. */
export interface PackedLayer {
  readonly blob: string;
  readonly index: string;
  readonly digest: string;
  readonly diffId: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly plainBytes: number;
  readonly entries: number;
  readonly chunks: number;
  readonly spans: number;
  readonly seekable: boolean;
}

export interface PackOptions {
  /** Where blobs and indexes go. */
  readonly dir: string;
  readonly codec: 'zstd' | 'gzip' | 'none' | 'keep';
  readonly jobs?: number;
  readonly chunkBytes?: number;
}

/** Packs or keeps every layer of a layout. */
export async function packLayers(
  layers: readonly Pick<LayoutLayer, 'path' | 'mediaType' | 'diffId'>[],
  options: PackOptions,
): Promise<readonly PackedLayer[]> {
  const { dir, codec, jobs = 2, chunkBytes = 262_144 } = options;
  const file = (at: number, kind: string): string => join(dir, `${codec}-${jobs}-${at}.${kind}`);
  const results = await indexTool('pack', {
    jobs,
    chunkBytes,
    layers: layers.map(({ path, mediaType, diffId }, at) => ({
      id: String(at),
      source: path,
      mediaType,
      diffId,
      action: codec === 'keep' ? { kind: 'keep' } : { kind: 'pack', codec, level: 1, output: file(at, 'blob') },
      index: file(at, 'idx'),
    })),
  });
  return layers.map(({ path }, at) => ({
    ...(results.get(String(at)) as Omit<PackedLayer, 'blob' | 'index'>),
    blob: codec === 'keep' ? path : file(at, 'blob'),
    index: file(at, 'idx'),
  }));
}

export interface AssembledArchive {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly clipBytes: number;
  readonly entries: number;
  readonly footerDigest: string;
  readonly mountBytes: number;
  readonly warnings: Readonly<Record<string, number>>;
}

/** Documents of an image whose layers are the packed ones. */
export async function imageOf(
  layout: Layout,
  layers: readonly PackedLayer[],
): Promise<{ readonly config: Buffer; readonly manifest: Buffer; readonly digest: string }> {
  const config = await readFile(layout.configPath);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
      layers: layers.map(({ mediaType, digest, sizeBytes }) => ({ mediaType, digest, size: sizeBytes })),
    }),
  );
  return { config, manifest, digest: sha256(manifest) };
}

export interface AssembleOptions {
  readonly output: string;
  readonly layers: readonly PackedLayer[];
  readonly config: string;
  readonly manifest: string;
  readonly manifestDigest: string;
  readonly registry?: string;
  readonly repository?: string;
}

export async function assemble(options: AssembleOptions): Promise<AssembledArchive> {
  const {
    output,
    layers,
    config,
    manifest,
    manifestDigest,
    registry = '127.0.0.1:5000',
    repository = 'awkward/image',
  } = options;
  const results = await indexTool('assemble', {
    output,
    layers: layers.map(({ index, digest, mediaType }) => ({ index, digest, mediaType })),
    config,
    manifest,
    storage: { registry, repository, reference: manifestDigest },
    imageName: `${registry}/${repository}:workspace-image`,
  });
  return results.get('') as AssembledArchive;
}

/** The metadata image of an archive as a file, and its devices by diffID. */
export async function unpackErofs(archive: string, output: string): Promise<{ readonly devices: readonly string[] }> {
  return (await indexTool('unpack-erofs', { archive, output })).get('') as { devices: readonly string[] };
}

export async function verifyArchive(archive: string): Promise<{ readonly kind: string; readonly entries: number }> {
  return (await indexTool('verify', { archive })).get('') as { kind: string; entries: number };
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
