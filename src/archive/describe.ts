import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { Archive, ArchiveKind } from './archive.ts';
import type { ClipHeader } from './clip-header.ts';
import type { ClipNode } from './clip-node.ts';
import type { LayerCodec } from './layers-section.ts';
import { nodeTree } from './node-tree.ts';
import type { ArchiveStorage, ImageMetadata } from './storage-info.ts';
import { formatStorageReference, type StorageReference } from './storage-reference.ts';

/** What `inspect --json` prints. Everything in it has been checked against its digest, where the archive has digests. */
export interface ArchiveDescription {
  readonly kind: ArchiveKind;
  readonly sizeBytes: number;
  readonly header: ClipHeader;
  readonly storageType: ArchiveStorage['type'];
  readonly storageReference?: StorageReference;
  readonly storageRef?: string;
  readonly s3?: { readonly bucket: string; readonly key: string; readonly region: string; readonly endpoint: string };
  readonly image?: Omit<ImageMetadata, 'labels'> & { readonly labels: Readonly<Record<string, string>> };
  readonly format?: { readonly major: number; readonly minor: number };
  readonly footerDigest?: Digest;
  readonly layers: readonly LayerDescription[];
  readonly sections: readonly SectionDescription[];
  readonly counts: NodeCounts;
}

export interface LayerDescription {
  readonly digest: string;
  readonly diffId?: string;
  readonly kind?: 'layer' | 'extra';
  readonly mediaType?: string;
  readonly codec?: LayerCodec;
  readonly blobBytes?: number;
  readonly plainBytes?: number;
  readonly chunkBytes?: number;
  readonly chunks?: number;
  readonly spans?: number;
  readonly seekable?: boolean;
}

export interface SectionDescription {
  readonly name: string;
  readonly version: number;
  readonly critical: boolean;
  readonly encoding: 'plain' | 'zstd';
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly digest: Digest;
}

export interface NodeCounts {
  readonly entries: number;
  readonly directories: number;
  readonly files: number;
  readonly symlinks: number;
  readonly devices: number;
  readonly fifos: number;
  /** Sum of the sizes of regular files, each file once however many names it has. */
  readonly fileBytes: number;
}

/** Reads what there is to say about an archive. */
export async function describe(archive: Archive, options: Cancelable): Promise<ArchiveDescription> {
  const { kind, sizeBytes, header, footer } = archive;
  const storage = await archive.storage(options);
  const nodes = [...nodeTree(await archive.nodes(options)).all()];
  return {
    kind,
    sizeBytes,
    header,
    storageType: storage.type,
    ...describeStorage(storage),
    ...(footer && { format: { major: footer.major, minor: footer.minor }, footerDigest: footer.digest }),
    layers: await describeLayers(archive, storage, options),
    sections: (footer?.sections ?? []).map(({ name, type, ...section }) => ({
      name: name ?? `type ${type}`,
      ...section,
    })),
    counts: countNodes(nodes),
  };
}

function describeStorage(
  storage: ArchiveStorage,
): Pick<ArchiveDescription, 'storageReference' | 'storageRef' | 's3' | 'image'> {
  if (storage.type === 'local') return {};
  if (storage.type === 's3') {
    const { bucket, key, region, endpoint } = storage;
    return { s3: { bucket, key, region, endpoint } };
  }
  const { reference, metadata } = storage;
  return {
    storageReference: reference,
    storageRef: formatStorageReference(reference),
    ...(metadata && { image: { ...metadata, labels: Object.fromEntries(metadata.labels) } }),
  };
}

async function describeLayers(
  archive: Archive,
  storage: ArchiveStorage,
  options: Cancelable,
): Promise<readonly LayerDescription[]> {
  if (archive.kind === 'clipyard') {
    return (await archive.layers(options)).map(
      ({
        chunkLengths,
        spans,
        chunkDigests: _digests,
        chunkTableDigest: _table,
        firstSpan: _first,
        seek,
        ...layer
      }) => ({
        ...layer,
        chunks: chunkLengths.length,
        spans: spans.length,
        seekable: spans.length > 1 || seek !== undefined || layer.codec === 'plain',
      }),
    );
  }
  if (storage.type !== 'oci') return [];
  return storage.layers.map((digest) => {
    const hash = storage.plainHashes.get(digest);
    return { digest, ...(hash !== undefined && { diffId: `sha256:${hash}` }) };
  });
}

const TYPE_BITS = 0o170000;

function countNodes(nodes: readonly ClipNode[]): NodeCounts {
  const of = (type: ClipNode['type']): number => nodes.filter((node) => node.type === type).length;
  const withBits = (...bits: readonly number[]): number =>
    nodes.filter(({ type, attributes }) => type === 'file' && bits.includes(attributes.mode & TYPE_BITS)).length;
  const [devices, fifos] = [withBits(0o020000, 0o060000), withBits(0o010000)];
  const sizes = new Map(
    nodes.filter(({ type }) => type === 'file').map(({ attributes }) => [attributes.inode, attributes.sizeBytes]),
  );
  return {
    entries: nodes.length,
    directories: of('dir'),
    files: of('file') - devices - fifos,
    symlinks: of('symlink'),
    devices,
    fifos,
    fileBytes: [...sizes.values()].reduce((total, size) => total + size, 0),
  };
}
