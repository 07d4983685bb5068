import { open, rm } from 'node:fs/promises';
import { formatStorageReference } from '../archive/index.ts';
import { type Digest, digestOf } from '../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { ArchiveWriter, type WrittenSection } from './archive/archive-writer.ts';
import { type RepeatedConfig, type RepeatedManifest, readConfig, readManifest } from './archive/image-documents.ts';
import { encodeLayersSection } from './archive/layer-tables.ts';
import { encodeNodeList } from './archive/node-list.ts';
import { encodeStorageInfo } from './archive/storage-info.ts';
import type { LayerWarnings } from './entry.ts';
import { atPlace } from './failure.ts';
import type { IndexedLayer } from './index-layer.ts';
import { applyEntry } from './merge/apply.ts';
import { listTree, type MergedImage } from './merge/merged-image.ts';
import { Tree } from './merge/tree.ts';

/** Everything an archive is made of. */
export interface PortableArchive {
  /** Where it goes; removed again unless it was written whole. */
  readonly output: string;
  /** In manifest order, lowest first. */
  readonly layers: readonly IndexedLayer[];
  /** Exactly the bytes of the image configuration and of the platform manifest. */
  readonly config: Uint8Array;
  readonly manifest: Uint8Array;
  readonly storage: { readonly registry: string; readonly repository: string; readonly reference: Digest };
  readonly imageName: string;
}

/** What was written. */
export interface WrittenArchive {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly clipBytes: number;
  readonly entries: number;
  readonly footerDigest: Digest;
  readonly mountBytes: number;
  readonly sections: readonly WrittenSection[];
  readonly warnings: Readonly<Record<string, number>>;
}

/** A reader refuses more. */
const MAX_CLIP_BYTES = 2 ** 31;
const CLIP_HEADER_BYTES = 54;

/**
 * Merges layers and writes their archive without a metadata image. Throws LAYER_PATH_INVALID, LAYER_CORRUPT,
 * LIMIT_EXCEEDED, MANIFEST_INVALID, ARCHIVE_MISMATCH.
 */
export async function writePortableArchive(archive: PortableArchive, { signal }: Cancelable): Promise<WrittenArchive> {
  const { layers, manifest, output } = archive;
  const devices = distinctLayers(layers);
  const documents = checkedDocuments(archive);
  const image = mergeLayers(layers, devices, { signal });
  const clip = clipPart(archive, documents, image, devices);
  try {
    await using file = await open(output, 'w', 0o644);
    const writer = new ArchiveWriter(file);
    await writer.clip(clip);
    await writer.section('config', configSection(archive));
    await writer.section('layers', encodeLayersSection(devices));
    const written = await writer.finish();
    await file.sync();
    signal.throwIfAborted();
    return { ...written, entries: image.names.length, warnings: { ...sumOf(layers), ...image.warnings } };
  } catch (thrown) {
    await rm(output, { force: true });
    signal.throwIfAborted();
    throw toWorkerError(thrown, `write ${output} for ${digestOf(manifest)}`);
  }
}

interface Documents {
  readonly config: RepeatedConfig;
  readonly manifest: RepeatedManifest;
}

/** Reference, manifest, configuration and layers speak of the same image. Throws ARCHIVE_MISMATCH, MANIFEST_INVALID. */
function checkedDocuments({ layers, storage, ...bytes }: PortableArchive): Documents {
  const requireSame = (what: string, expected: string, actual: string): void => {
    if (expected !== actual) throw new WorkerError('ARCHIVE_MISMATCH', `${what} is ${actual}, ${expected} is named`);
  };
  requireSame('the manifest', storage.reference, digestOf(bytes.manifest));
  const manifest = readManifest(bytes.manifest);
  requireSame('the configuration', manifest.config.digest, digestOf(bytes.config));
  const config = readConfig(bytes.config);
  const named = manifest.layers.map(({ mediaType, digest, size }, at) =>
    [mediaType, digest, size, config.rootfs?.diff_ids[at]].join(' '),
  );
  const indexed = layers.map(({ mediaType, digest, blobBytes, diffId }) =>
    [mediaType, digest, blobBytes, diffId].join(' '),
  );
  requireSame('the number of diffIDs', String(layers.length), String(config.rootfs?.diff_ids.length ?? 0));
  requireSame('the list of layers', named.join(', '), indexed.join(', '));
  return { config, manifest };
}

/** The first layer of each diffID, in first-seen order: what a metadata image would have as devices. */
function distinctLayers(layers: readonly IndexedLayer[]): readonly IndexedLayer[] {
  const devices = new Map<Digest, IndexedLayer>();
  for (const layer of layers) if (!devices.has(layer.diffId)) devices.set(layer.diffId, layer);
  return [...devices.values()];
}

function mergeLayers(
  layers: readonly IndexedLayer[],
  devices: readonly IndexedLayer[],
  { signal }: Cancelable,
): MergedImage {
  const tree = new Tree();
  layers.forEach(({ diffId, digest, entries }, at) => {
    signal.throwIfAborted();
    const data = devices.findIndex((device) => device.diffId === diffId);
    try {
      for (const entry of entries) applyEntry(tree, entry, { layer: at + 1, data });
    } catch (thrown) {
      throw atPlace(thrown, `layer ${digest}`);
    }
  });
  return listTree(tree);
}

function clipPart(
  { imageName, layers, storage }: PortableArchive,
  documents: Documents,
  image: MergedImage,
  devices: readonly IndexedLayer[],
): readonly Buffer[] {
  const nodes = encodeNodeList(
    image.names,
    devices.map(({ digest }) => digest),
  );
  const info = encodeStorageInfo({ ...documents, ...storage, layers, imageName });
  const header = Buffer.alloc(CLIP_HEADER_BYTES);
  header.write('89434c49500d0a1a0a01', 'hex');
  [nodes.length, CLIP_HEADER_BYTES, info.length, CLIP_HEADER_BYTES + nodes.length].forEach((value, field) => {
    header.writeBigUInt64LE(BigInt(value), 10 + field * 8);
  });
  header.write('oci\0clipyard', 42, 'latin1');
  const bytes = header.length + nodes.length + info.length;
  if (bytes > MAX_CLIP_BYTES)
    throw new WorkerError('LIMIT_EXCEEDED', `a CLIP part of ${bytes} bytes, at most ${MAX_CLIP_BYTES}`);
  return [header, nodes, info];
}

/** Section `config`: configuration, manifest and where the blobs are, each behind its length. */
function configSection({ config, manifest, storage }: PortableArchive): Buffer {
  const { registry, repository, reference } = storage;
  const where = Buffer.from(formatStorageReference({ registry, repository, digest: reference }), 'utf8');
  return Buffer.concat(
    [config, manifest, where].flatMap((part) => [Buffer.from(Uint32Array.of(part.length).buffer), part]),
  );
}

function sumOf(layers: readonly IndexedLayer[]): Readonly<LayerWarnings> {
  const sum = (key: keyof LayerWarnings): number => layers.reduce((total, { warnings }) => total + warnings[key], 0);
  return {
    droppedOverlayXattrs: sum('droppedOverlayXattrs'),
    droppedHostXattrs: sum('droppedHostXattrs'),
    droppedUnsupportedXattrs: sum('droppedUnsupportedXattrs'),
    ignoredGlobalHeaders: sum('ignoredGlobalHeaders'),
  };
}
