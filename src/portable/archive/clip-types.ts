import { type GobWriter, StructWriter } from './gob-writer.ts';

/** A type definition of a gob stream. */
interface TypeDefinition {
  readonly id: number;
  /** Go's name; empty for a type that the stock writer met through a pointer. */
  readonly name: string;
  readonly shape:
    | { readonly kind: 'slice'; readonly element: number }
    | { readonly kind: 'map'; readonly value: number }
    | { readonly kind: 'struct'; readonly fields: Readonly<Record<string, number>> }
    /** A type that marshals itself, such as time.Time. */
    | { readonly kind: 'opaque' };
}

// Types that every stream knows (encoding/gob, type.go).
const [INT, UINT, BYTES, STRING] = [2, 3, 5, 6] as const;
/** Ids of the values that streams of an archive hold. */
export const VALUE_IDS = { nodeList: 68, storage: 69, wrapper: 86 } as const;

const slice = (id: number, name: string, element: number): TypeDefinition => ({
  id,
  name,
  shape: { kind: 'slice', element },
});
const map = (id: number, name: string, value: number): TypeDefinition => ({ id, name, shape: { kind: 'map', value } });
const struct = (id: number, name: string, fields: Readonly<Record<string, number>>): TypeDefinition => ({
  id,
  name,
  shape: { kind: 'struct', fields },
});

// The definitions have the order and the ids of the stock writer, so that equal content is equal bytes.
export const NODE_LIST_TYPES: readonly TypeDefinition[] = [
  slice(VALUE_IDS.nodeList, '', 64),
  struct(64, '', {
    NodeType: STRING,
    Path: STRING,
    Attr: 65,
    Target: STRING,
    ContentHash: STRING,
    DataPos: INT,
    DataLen: INT,
    Remote: 67,
  }),
  struct(65, 'Attr', {
    Ino: UINT,
    Size: UINT,
    Blocks: UINT,
    Atime: UINT,
    Mtime: UINT,
    Ctime: UINT,
    Atimensec: UINT,
    Mtimensec: UINT,
    Ctimensec: UINT,
    Mode: UINT,
    Nlink: UINT,
    Owner: 66,
    Rdev: UINT,
    Blksize: UINT,
    Padding: UINT,
  }),
  struct(66, 'Owner', { Uid: UINT, Gid: UINT }),
  struct(67, 'RemoteRef', { LayerDigest: STRING, UOffset: INT, ULength: INT }),
];

export const WRAPPER_TYPES: readonly TypeDefinition[] = [
  struct(VALUE_IDS.wrapper, 'StorageInfoWrapper', { Type: STRING, Data: BYTES }),
];

export const STORAGE_TYPES: readonly TypeDefinition[] = [
  struct(VALUE_IDS.storage, 'OCIStorageInfo', {
    RegistryURL: STRING,
    Repository: STRING,
    Reference: STRING,
    Layers: 70,
    GzipIdxByLayer: 74,
    ZstdIdxByLayer: 78,
    DecompressedHashByLayer: 79,
    ImageMetadata: 80,
  }),
  slice(70, '[]string', STRING),
  map(74, 'map[string]*common.GzipIndex', 71),
  struct(71, '', { LayerDigest: STRING, Checkpoints: 73 }),
  slice(73, '[]common.GzipCheckpoint', 72),
  struct(72, 'GzipCheckpoint', { COff: INT, UOff: INT }),
  map(78, 'map[string]*common.ZstdIndex', 75),
  struct(75, '', { LayerDigest: STRING, Frames: 77 }),
  slice(77, '[]common.ZstdFrame', 76),
  struct(76, 'ZstdFrame', { COff: INT, CLen: INT, UOff: INT, ULen: INT }),
  map(79, 'map[string]string', STRING),
  struct(80, 'ImageMetadata', {
    Name: STRING,
    Digest: STRING,
    RepoTags: 70,
    Created: 81,
    DockerVersion: STRING,
    Labels: 79,
    Architecture: STRING,
    Os: STRING,
    Variant: STRING,
    Author: STRING,
    Env: 70,
    Cmd: 70,
    Entrypoint: 70,
    User: STRING,
    WorkingDir: STRING,
    ExposedPorts: 83,
    Volumes: 83,
    StopSignal: STRING,
    Layers: 70,
    LayersData: 85,
  }),
  { id: 81, name: 'Time', shape: { kind: 'opaque' } },
  map(83, 'map[string]struct {}', 82),
  struct(82, '', {}),
  slice(85, '[]common.LayerMetadata', 84),
  struct(84, 'LayerMetadata', { MIMEType: STRING, Digest: STRING, Size: INT, Annotations: 79 }),
];

/** Field of `wireType` that defines a type of this shape (encoding/gob, type.go). */
const WIRE_FIELDS = { slice: 1, struct: 2, map: 3, opaque: 4 } as const;

/** Writes the messages that define types. */
export function defineTypes(out: GobWriter, types: readonly TypeDefinition[]): void {
  for (const type of types) {
    out.message((inner) => {
      inner.int(-type.id);
      writeWireType(inner, type);
    });
  }
}

function writeWireType(out: GobWriter, { id, name, shape }: TypeDefinition): void {
  const outer = new StructWriter(out);
  const wire = new StructWriter(outer.field(WIRE_FIELDS[shape.kind]));
  const common = new StructWriter(wire.field(0));
  common.text(0, name);
  common.int(1, id);
  common.end();
  if (shape.kind === 'slice') wire.int(1, shape.element);
  if (shape.kind === 'map') {
    wire.int(1, STRING);
    wire.int(2, shape.value);
  }
  if (shape.kind === 'struct') {
    wire.list(1, Object.entries(shape.fields), (inner, [field, type]) => {
      const definition = new StructWriter(inner);
      definition.text(0, field);
      definition.int(1, type);
      definition.end();
    });
  }
  wire.end();
  outer.end();
}
