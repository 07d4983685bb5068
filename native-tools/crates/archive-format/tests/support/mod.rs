//! Builds small images with everything awkward in them, with the device bytes that their files point into.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "tests choose their numbers"
)]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use archive_format::digest::{blake3, hex, oci, sha256};
use archive_format::erofs::Device;
use archive_format::model::*;
use archive_format::tables::{Chunk, Codec, LayerTable, RecordKind, Span};
use archive_format::write::{ArchiveInput, ArchiveSummary, ManifestLayer, write_archive};

const CHUNK_BYTES: usize = 4096;

/// The repository's folder of committed test data.
pub(crate) fn test_folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../test")
        .join(name)
}

/// An image under construction. Devices are plain streams; each piece of data gets a 512-byte header as in a tar.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    pub(crate) image: Image,
    pub(crate) devices: Vec<Vec<u8>>,
}

impl Builder {
    pub(crate) fn new(devices: usize) -> Self {
        let root = node(0o755, directory());
        Self {
            image: Image { inodes: vec![root] },
            devices: (0..devices).map(|index| vec![index as u8; 512]).collect(),
        }
    }

    /// Adds an inode under a name; directories on the way must be there.
    pub(crate) fn add(&mut self, path: &str, inode: Inode) -> InodeId {
        self.add_bytes(path.as_bytes(), inode)
    }

    pub(crate) fn add_bytes(&mut self, path: &[u8], inode: Inode) -> InodeId {
        let id = self.image.inodes.len() as InodeId;
        self.image.inodes.push(inode);
        self.link(path, id);
        id
    }

    /// Gives an inode one more name.
    pub(crate) fn link(&mut self, path: &[u8], id: InodeId) {
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (b"".as_slice(), path),
        };
        let mut at = 0;
        for part in folder
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
        {
            at = self.children(at)[part];
        }
        self.children(at).insert(name.to_vec(), id);
    }

    fn children(&mut self, id: InodeId) -> &mut BTreeMap<Vec<u8>, InodeId> {
        match &mut self.image.inodes[id as usize].kind {
            Kind::Directory { children } => children,
            other => panic!("{other:?} is no directory"),
        }
    }

    /// Appends bytes to a device as a tar would and says where they are.
    pub(crate) fn store(&mut self, device: u16, bytes: &[u8]) -> u64 {
        let stream = &mut self.devices[usize::from(device)];
        stream.extend([0xEE; 512]);
        let at = stream.len() as u64;
        stream.extend(bytes);
        stream.resize(stream.len().next_multiple_of(512), 0);
        at
    }

    /// A regular file on a device.
    pub(crate) fn stored(&mut self, device: u16, bytes: &[u8]) -> Inode {
        let device_offset = self.store(device, bytes);
        let size = bytes.len() as u64;
        let extents = vec![Extent {
            file_offset: 0,
            device,
            device_offset,
            length: size,
        }];
        node(
            0o644,
            Kind::Regular(FileData {
                size,
                extents,
                inline: None,
            }),
        )
    }

    /// The same with its bytes in the metadata image too.
    pub(crate) fn stored_inline(&mut self, device: u16, bytes: &[u8]) -> Inode {
        let mut inode = self.stored(device, bytes);
        if let Kind::Regular(file) = &mut inode.kind {
            file.inline = Some(bytes.to_vec());
        }
        inode
    }

    /// What a file reads as.
    pub(crate) fn content(&self, file: &FileData) -> Vec<u8> {
        if let Some(inline) = &file.inline {
            return inline.clone();
        }
        let mut bytes = vec![0; file.size as usize];
        for extent in &file.extents {
            let from = extent.device_offset as usize;
            let to = extent.file_offset as usize;
            let length = extent.length as usize;
            bytes[to..to + length]
                .copy_from_slice(&self.devices[usize::from(extent.device)][from..from + length]);
        }
        bytes
    }

    /// The devices as the writer takes them.
    pub(crate) fn device_rows(&self) -> Vec<Device> {
        self.devices
            .iter()
            .map(|bytes| Device {
                diff_id: sha256(bytes),
                plain_bytes: bytes.len() as u64,
            })
            .collect()
    }

    /// The image as it is read back: bytes in the metadata image replace extents, an empty file has neither.
    pub(crate) fn as_read(&self) -> Image {
        let mut image = self.image.clone();
        for inode in &mut image.inodes {
            if let Kind::Regular(file) = &mut inode.kind {
                if file.size == 0 {
                    file.inline = None;
                }
                if file.size == 0 || file.inline.is_some() {
                    file.extents.clear();
                }
            }
        }
        image
    }

    /// A whole archive whose layers are gzip (even devices) or zstd (odd ones), with `extra` last if asked for.
    pub(crate) fn archive(&self, with_extra: bool) -> (Vec<u8>, ArchiveSummary) {
        let mut tables: Vec<LayerTable> = self
            .devices
            .iter()
            .enumerate()
            .map(|(index, bytes)| layer_table(index, bytes))
            .collect();
        let mut extra = Vec::new();
        if with_extra {
            let plain = self.devices.last().unwrap();
            let table = tables.last_mut().unwrap();
            extra = raw_zstd_frame(plain);
            *table = LayerTable {
                digest: sha256(&extra),
                blob_bytes: extra.len() as u64,
                codec: Codec::Zstd,
                kind: RecordKind::Extra,
                media_type: String::new(),
                spans: vec![Span {
                    stored: extra.len() as u64,
                    plain: plain.len() as u64,
                }],
                ..table.clone()
            };
        }
        let layers: Vec<ManifestLayer> = tables
            .iter()
            .filter(|table| table.kind == RecordKind::Layer)
            .map(|table| ManifestLayer {
                digest: table.digest,
                diff_id: table.diff_id,
                media_type: table.media_type.clone(),
                size: table.blob_bytes,
            })
            .collect();
        let config = image_config(&layers);
        let manifest = manifest(&layers, &config);
        let input = ArchiveInput {
            image: &self.image,
            tables: &tables,
            extra: &extra,
            seek: &[],
            manifest_layers: &layers,
            config: config.as_bytes(),
            manifest: manifest.as_bytes(),
            registry: "127.0.0.1:5000",
            repository: "team/app",
            reference: &oci(&sha256(manifest.as_bytes())),
            image_name: "127.0.0.1:5000/team/app:ws-img",
        };
        let mut out = Cursor::new(Vec::new());
        let summary = write_archive(&input, &mut out).unwrap();
        (out.into_inner(), summary)
    }
}

/// A zstd frame that does not compress, whatever the library's version: golden bytes may depend on it.
fn raw_zstd_frame(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xB5, 0x2F, 0xFD, 0xA0];
    out.extend((plain.len() as u32).to_le_bytes());
    let mut blocks = plain.chunks(1 << 16).peekable();
    while let Some(block) = blocks.next() {
        let header = (block.len() as u32) << 3 | u32::from(blocks.peek().is_none());
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(block);
    }
    out
}

/// A table whose blob is imagined: its digest is that of the plain bytes with a mark.
fn layer_table(index: usize, plain: &[u8]) -> LayerTable {
    let (codec, media_type) = match index % 2 {
        0 => (Codec::Gzip, "application/vnd.oci.image.layer.v1.tar+gzip"),
        _ => (Codec::Zstd, "application/vnd.oci.image.layer.v1.tar+zstd"),
    };
    let chunks: Vec<Chunk> = plain
        .chunks(CHUNK_BYTES)
        .map(|chunk| Chunk {
            plain: chunk.len() as u32,
            digest: blake3(chunk),
        })
        .collect();
    let spans: Vec<Span> = chunks
        .iter()
        .map(|chunk| Span {
            stored: u64::from(chunk.plain / 2 + 20),
            plain: chunk.plain.into(),
        })
        .collect();
    LayerTable {
        digest: sha256(&[plain, b"blob"].concat()),
        diff_id: sha256(plain),
        blob_bytes: spans.iter().map(|span| span.stored).sum(),
        plain_bytes: plain.len() as u64,
        codec,
        kind: RecordKind::Layer,
        media_type: media_type.to_owned(),
        chunk_bytes: CHUNK_BYTES as u32,
        first_span: 0,
        spans,
        chunks,
        seek: None,
    }
}

fn image_config(layers: &[ManifestLayer]) -> String {
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", oci(&layer.diff_id)))
        .collect();
    format!(
        "{{\"created\":\"2026-01-01T00:00:00Z\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{\"Env\":[\"PATH=/bin\"],\
         \"Cmd\":[\"sh\"],\"Labels\":{{\"b\":\"2\",\"a\":\"1\"}},\"ExposedPorts\":{{\"80/tcp\":{{}}}},\"WorkingDir\":\"/srv\"}},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
        ids.join(",")
    )
}

fn manifest(layers: &[ManifestLayer], config: &str) -> String {
    let rows: Vec<String> = layers
        .iter()
        .map(|layer| {
            format!(
                "{{\"mediaType\":\"{}\",\"digest\":\"{}\",\"size\":{},\"annotations\":{{\"org.example.k\":\"v\"}}}}",
                layer.media_type,
                oci(&layer.digest),
                layer.size
            )
        })
        .collect();
    format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\
         \"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:{}\",\"size\":{}}},\"layers\":[{}]}}",
        hex(&sha256(config.as_bytes())),
        config.len(),
        rows.join(",")
    )
}

pub(crate) fn directory() -> Kind {
    Kind::Directory {
        children: BTreeMap::new(),
    }
}

pub(crate) fn symlink(target: impl Into<Vec<u8>>) -> Kind {
    Kind::Symlink {
        target: target.into(),
    }
}

pub(crate) fn node(permissions: u16, kind: Kind) -> Inode {
    Inode {
        permissions,
        uid: 0,
        gid: 0,
        mtime: Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        },
        xattrs: BTreeMap::new(),
        kind,
    }
}

pub(crate) fn with_xattr(mut inode: Inode, name: &[u8], value: &[u8]) -> Inode {
    inode.xattrs.insert(name.to_vec(), value.to_vec());
    inode
}

/// Bytes that differ everywhere, so that a wrong offset shows.
pub(crate) fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// A small image with one of everything: the golden files and the damage tests are made of it.
pub(crate) fn small() -> Builder {
    let mut at = Builder::new(3);
    at.image.inodes[0].mtime = Timestamp {
        seconds: 1_600_000_000,
        nanos: 1,
    };
    at.add("bin", node(0o755, directory()));
    let su = at.stored(0, b"#!setuid\n");
    let su = Inode {
        permissions: 0o4755,
        ..su
    };
    let su = at.add(
        "bin/su",
        with_xattr(
            su,
            b"security.capability",
            &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    );
    at.link(b"bin/su.hard", su);
    at.add("bin.d", node(0o1777, directory()));
    let notes = at.stored_inline(1, b"kept in the metadata image\n");
    at.add(
        "bin.d/notes",
        Inode {
            uid: 1000,
            gid: 1001,
            mtime: Timestamp {
                seconds: -1,
                nanos: 999_999_999,
            },
            ..notes
        },
    );
    let empty = at.stored(1, b"");
    at.add("bin/empty", empty);
    let link = at.add("bin/link", node(0o777, symlink("../bin.d/notes")));
    at.link(b"bin/link.hard", link);
    at.add(
        "null",
        node(0o666, Kind::CharDevice(DeviceNumber { major: 1, minor: 3 })),
    );
    at.add(
        "disk",
        node(
            0o660,
            Kind::BlockDevice(DeviceNumber {
                major: 259,
                minor: 70_000,
            }),
        ),
    );
    at.add("fifo", node(0o600, Kind::Fifo));
    at.add("socket", node(0o755, Kind::Socket));
    at.add_bytes(b"caf\xe9", node(0o700, directory()));
    let big = pattern(7, 9000);
    let big = at.stored(1, &big);
    at.add("big", with_xattr(big, b"user.note", b"value"));
    let data = pattern(9, 1024);
    let first = at.store(0, &data[..512]);
    let second = at.store(2, &data[512..]);
    let extents = vec![
        Extent {
            file_offset: 1024,
            device: 0,
            device_offset: first,
            length: 512,
        },
        Extent {
            file_offset: 4096,
            device: 2,
            device_offset: second,
            length: 512,
        },
    ];
    at.add(
        "sparse",
        node(
            0o640,
            Kind::Regular(FileData {
                size: 10_000,
                extents,
                inline: None,
            }),
        ),
    );
    at
}
