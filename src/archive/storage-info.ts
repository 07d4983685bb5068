import { WorkerError } from '../errors/index.ts';
import { corrupt } from './failure.ts';
import { parseGoTime } from './go-time.ts';
import {
  decodeGob,
  gobBool,
  gobBytes,
  gobInt,
  gobMap,
  gobOpaque,
  gobOptional,
  gobSlice,
  gobStruct,
  gobText,
} from './gob/index.ts';
import { type StorageReference, storageReferenceOf } from './storage-reference.ts';

/** What a container needs from the image configuration, kept in the archive so that a start asks no registry. */
export interface ImageMetadata {
  readonly name: string;
  readonly digest: string;
  readonly repoTags: readonly string[];
  /** RFC 3339 in UTC; undefined when the archive holds Go's zero time or none. */
  readonly created: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  readonly architecture: string;
  readonly os: string;
  readonly variant: string;
  readonly author: string;
  readonly env: readonly string[];
  readonly cmd: readonly string[];
  readonly entrypoint: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly stopSignal: string;
  readonly layers: readonly string[];
  readonly layersData: readonly { readonly mediaType: string; readonly digest: string; readonly sizeBytes: number }[];
}

export interface OciStorage {
  readonly type: 'oci';
  readonly reference: StorageReference;
  /** Digests of the blobs, bottom first. */
  readonly layers: readonly string[];
  /** Blob digest → hex sha256 of the plain tar stream. */
  readonly plainHashes: ReadonlyMap<string, string>;
  /** Blob digest → positions (compressed, plain) that CLIP calls checkpoints; no state of the inflater goes with them. */
  readonly checkpoints: ReadonlyMap<string, readonly { readonly compressed: number; readonly plain: number }[]>;
  readonly metadata: ImageMetadata | undefined;
}

export interface S3Storage {
  readonly type: 's3';
  readonly bucket: string;
  readonly region: string;
  readonly key: string;
  readonly endpoint: string;
  readonly forcePathStyle: boolean;
}

/** Where the file bytes are: at a registry, in an S3 object that is a whole V1 archive, or in this file. */
export type ArchiveStorage = OciStorage | S3Storage | { readonly type: 'local' };

const wrapperShape = gobStruct({ type: ['Type', gobText], data: ['Data', gobBytes] });

const s3Shape = gobStruct({
  bucket: ['Bucket', gobText],
  region: ['Region', gobText],
  key: ['Key', gobText],
  endpoint: ['Endpoint', gobText],
  forcePathStyle: ['ForcePathStyle', gobBool],
});

const metadataShape = gobStruct({
  name: ['Name', gobText],
  digest: ['Digest', gobText],
  repoTags: ['RepoTags', gobSlice(gobText)],
  created: ['Created', gobOpaque],
  labels: ['Labels', gobMap(gobText)],
  architecture: ['Architecture', gobText],
  os: ['Os', gobText],
  variant: ['Variant', gobText],
  author: ['Author', gobText],
  env: ['Env', gobSlice(gobText)],
  cmd: ['Cmd', gobSlice(gobText)],
  entrypoint: ['Entrypoint', gobSlice(gobText)],
  user: ['User', gobText],
  workingDir: ['WorkingDir', gobText],
  exposedPorts: ['ExposedPorts', gobMap(gobStruct({}))],
  volumes: ['Volumes', gobMap(gobStruct({}))],
  stopSignal: ['StopSignal', gobText],
  layers: ['Layers', gobSlice(gobText)],
  layersData: [
    'LayersData',
    gobSlice(gobStruct({ mediaType: ['MIMEType', gobText], digest: ['Digest', gobText], sizeBytes: ['Size', gobInt] })),
  ],
});

const ociShape = gobStruct({
  registry: ['RegistryURL', gobText],
  repository: ['Repository', gobText],
  reference: ['Reference', gobText],
  layers: ['Layers', gobSlice(gobText)],
  gzip: [
    'GzipIdxByLayer',
    gobMap(
      gobStruct({
        checkpoints: ['Checkpoints', gobSlice(gobStruct({ compressed: ['COff', gobInt], plain: ['UOff', gobInt] }))],
      }),
    ),
  ],
  plainHashes: ['DecompressedHashByLayer', gobMap(gobText)],
  metadata: ['ImageMetadata', gobOptional(metadataShape)],
});

/** The storage info of a CLIP archive; `bytes` is empty when there is none. Throws ARCHIVE_CORRUPT, FORMAT_TOO_NEW. */
export function decodeStorageInfo(bytes: Buffer): ArchiveStorage {
  if (bytes.length === 0) return { type: 'local' };
  const { type, data } = decodeGob(bytes, wrapperShape);
  switch (type) {
    case 'oci':
      return ociStorage(data);
    case 's3':
      return { type, ...decodeGob(data, s3Shape) };
    default:
      throw new WorkerError('FORMAT_TOO_NEW', `storage type ${JSON.stringify(type)} is not known`, { type });
  }
}

function ociStorage(data: Buffer): OciStorage {
  const { registry, repository, reference, layers, gzip, plainHashes, metadata } = decodeGob(data, ociShape);
  if (repository === '') throw corrupt('the storage info names no repository');
  return {
    type: 'oci',
    reference: storageReferenceOf(registry, repository, reference),
    layers,
    plainHashes,
    checkpoints: new Map([...gzip].map(([layer, { checkpoints }]) => [layer, checkpoints])),
    metadata: metadata && {
      ...metadata,
      created: metadata.created && parseGoTime(metadata.created),
      exposedPorts: [...metadata.exposedPorts.keys()],
      volumes: [...metadata.volumes.keys()],
    },
  };
}
