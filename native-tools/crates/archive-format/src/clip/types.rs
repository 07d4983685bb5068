//! The type definitions of CLIP's gob streams, in the order and with the ids of the stock writer, so that streams of
//! equal content are equal bytes.

use crate::gob::builtin::{BYTES, INT, STRING, UINT};
use crate::gob::encode::{Shape, TypeDef};

/// Type id of the node list.
pub(super) const NODE_LIST: i64 = 68;
/// Type id of the storage info wrapper.
pub(super) const WRAPPER: i64 = 86;
/// Type id of the storage info of OCI archives.
pub(super) const OCI_STORAGE: i64 = 69;

const NODE: i64 = 64;
const ATTR: i64 = 65;
const OWNER: i64 = 66;
const REMOTE: i64 = 67;
const STRINGS: i64 = 70;
const GZIP_INDEX: i64 = 71;
const GZIP_CHECKPOINT: i64 = 72;
const GZIP_CHECKPOINTS: i64 = 73;
const GZIP_MAP: i64 = 74;
const ZSTD_INDEX: i64 = 75;
const ZSTD_FRAME: i64 = 76;
const ZSTD_FRAMES: i64 = 77;
const ZSTD_MAP: i64 = 78;
const STRING_MAP: i64 = 79;
const METADATA: i64 = 80;
const TIME: i64 = 81;
const EMPTY: i64 = 82;
const SET: i64 = 83;
const LAYER: i64 = 84;
const LAYERS: i64 = 85;

/// Definitions before the node list.
pub(super) const INDEX_TYPES: &[TypeDef] = &[
    TypeDef {
        id: NODE_LIST,
        name: "",
        shape: Shape::Slice(NODE),
    },
    TypeDef {
        id: NODE,
        name: "",
        shape: Shape::Struct(&[
            ("NodeType", STRING),
            ("Path", STRING),
            ("Attr", ATTR),
            ("Target", STRING),
            ("ContentHash", STRING),
            ("DataPos", INT),
            ("DataLen", INT),
            ("Remote", REMOTE),
        ]),
    },
    TypeDef {
        id: ATTR,
        name: "Attr",
        shape: Shape::Struct(&[
            ("Ino", UINT),
            ("Size", UINT),
            ("Blocks", UINT),
            ("Atime", UINT),
            ("Mtime", UINT),
            ("Ctime", UINT),
            ("Atimensec", UINT),
            ("Mtimensec", UINT),
            ("Ctimensec", UINT),
            ("Mode", UINT),
            ("Nlink", UINT),
            ("Owner", OWNER),
            ("Rdev", UINT),
            ("Blksize", UINT),
            ("Padding", UINT),
        ]),
    },
    TypeDef {
        id: OWNER,
        name: "Owner",
        shape: Shape::Struct(&[("Uid", UINT), ("Gid", UINT)]),
    },
    TypeDef {
        id: REMOTE,
        name: "RemoteRef",
        shape: Shape::Struct(&[("LayerDigest", STRING), ("UOffset", INT), ("ULength", INT)]),
    },
];

/// Definitions before the storage info wrapper.
pub(super) const WRAPPER_TYPES: &[TypeDef] = &[TypeDef {
    id: WRAPPER,
    name: "StorageInfoWrapper",
    shape: Shape::Struct(&[("Type", STRING), ("Data", BYTES)]),
}];

/// Definitions inside the wrapper's data, for OCI archives.
pub(super) const OCI_TYPES: &[TypeDef] = &[
    TypeDef {
        id: OCI_STORAGE,
        name: "OCIStorageInfo",
        shape: Shape::Struct(&[
            ("RegistryURL", STRING),
            ("Repository", STRING),
            ("Reference", STRING),
            ("Layers", STRINGS),
            ("GzipIdxByLayer", GZIP_MAP),
            ("ZstdIdxByLayer", ZSTD_MAP),
            ("DecompressedHashByLayer", STRING_MAP),
            ("ImageMetadata", METADATA),
        ]),
    },
    TypeDef {
        id: STRINGS,
        name: "[]string",
        shape: Shape::Slice(STRING),
    },
    TypeDef {
        id: GZIP_MAP,
        name: "map[string]*common.GzipIndex",
        shape: Shape::Map {
            key: STRING,
            value: GZIP_INDEX,
        },
    },
    TypeDef {
        id: GZIP_INDEX,
        name: "",
        shape: Shape::Struct(&[("LayerDigest", STRING), ("Checkpoints", GZIP_CHECKPOINTS)]),
    },
    TypeDef {
        id: GZIP_CHECKPOINTS,
        name: "[]common.GzipCheckpoint",
        shape: Shape::Slice(GZIP_CHECKPOINT),
    },
    TypeDef {
        id: GZIP_CHECKPOINT,
        name: "GzipCheckpoint",
        shape: Shape::Struct(&[("COff", INT), ("UOff", INT)]),
    },
    TypeDef {
        id: ZSTD_MAP,
        name: "map[string]*common.ZstdIndex",
        shape: Shape::Map {
            key: STRING,
            value: ZSTD_INDEX,
        },
    },
    TypeDef {
        id: ZSTD_INDEX,
        name: "",
        shape: Shape::Struct(&[("LayerDigest", STRING), ("Frames", ZSTD_FRAMES)]),
    },
    TypeDef {
        id: ZSTD_FRAMES,
        name: "[]common.ZstdFrame",
        shape: Shape::Slice(ZSTD_FRAME),
    },
    TypeDef {
        id: ZSTD_FRAME,
        name: "ZstdFrame",
        shape: Shape::Struct(&[("COff", INT), ("CLen", INT), ("UOff", INT), ("ULen", INT)]),
    },
    TypeDef {
        id: STRING_MAP,
        name: "map[string]string",
        shape: Shape::Map {
            key: STRING,
            value: STRING,
        },
    },
    TypeDef {
        id: METADATA,
        name: "ImageMetadata",
        shape: Shape::Struct(&[
            ("Name", STRING),
            ("Digest", STRING),
            ("RepoTags", STRINGS),
            ("Created", TIME),
            ("DockerVersion", STRING),
            ("Labels", STRING_MAP),
            ("Architecture", STRING),
            ("Os", STRING),
            ("Variant", STRING),
            ("Author", STRING),
            ("Env", STRINGS),
            ("Cmd", STRINGS),
            ("Entrypoint", STRINGS),
            ("User", STRING),
            ("WorkingDir", STRING),
            ("ExposedPorts", SET),
            ("Volumes", SET),
            ("StopSignal", STRING),
            ("Layers", STRINGS),
            ("LayersData", LAYERS),
        ]),
    },
    TypeDef {
        id: TIME,
        name: "Time",
        shape: Shape::Opaque,
    },
    TypeDef {
        id: SET,
        name: "map[string]struct {}",
        shape: Shape::Map {
            key: STRING,
            value: EMPTY,
        },
    },
    TypeDef {
        id: EMPTY,
        name: "",
        shape: Shape::Struct(&[]),
    },
    TypeDef {
        id: LAYERS,
        name: "[]common.LayerMetadata",
        shape: Shape::Slice(LAYER),
    },
    TypeDef {
        id: LAYER,
        name: "LayerMetadata",
        shape: Shape::Struct(&[
            ("MIMEType", STRING),
            ("Digest", STRING),
            ("Size", INT),
            ("Annotations", STRING_MAP),
        ]),
    },
];
