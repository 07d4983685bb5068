//! Small images with their archives, a registry that serves them, and the program under test.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

pub(crate) mod daemon;
#[path = "../../src/testing/mod.rs"]
pub(crate) mod testing;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use archive_format::digest::{oci, sha256};
use archive_format::model::{Extent, FileData, Image, Inode, Kind, Timestamp};
use archive_format::tables::LayerTable;
use archive_format::write::{ArchiveInput, ManifestLayer, write_archive};
use testing::points::windows_of;
use testing::server::Server;
use testing::{Stored, layer, sample};

pub(crate) const CHUNK_BYTES: u32 = 64 << 10;

/// An image on disk and in a registry.
pub(crate) struct TestImage {
    pub(crate) archive: PathBuf,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) tables: Vec<LayerTable>,
    pub(crate) streams: Vec<Vec<u8>>,
    pub(crate) server: Server,
    model: Image,
    seek: Vec<u8>,
}

impl TestImage {
    /// Layer i holds `f<i>-0`, `f<i>-1`, … with the given lengths.
    pub(crate) fn make(directory: &Path, layers: &[(Stored, &[usize])]) -> Self {
        Self::make_with(directory, layers, &[])
    }

    /// The same with more files in the last layer.
    pub(crate) fn make_with(
        directory: &Path,
        layers: &[(Stored, &[usize])],
        more: &[(&str, Vec<u8>)],
    ) -> Self {
        let server = Server::start();
        let mut files = BTreeMap::new();
        let mut children = BTreeMap::new();
        let mut inodes = vec![];
        let mut streams = vec![];
        for (index, (_, lengths)) in layers.iter().enumerate() {
            let mut stream = vec![];
            let numbered = lengths.iter().enumerate().map(|(number, length)| {
                (
                    format!("f{index}-{number}"),
                    sample(*length, (index * 1000 + number) as u64 + 1),
                )
            });
            let named = more
                .iter()
                .filter(|_| index + 1 == layers.len())
                .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
            for (name, bytes) in numbered.chain(named) {
                let length = bytes.len() as u64;
                stream.extend([0x54; 512]);
                let extent = Extent {
                    file_offset: 0,
                    device: u16::try_from(index).unwrap(),
                    device_offset: stream.len() as u64,
                    length,
                };
                stream.extend(&bytes);
                stream.resize(stream.len().next_multiple_of(512), 0);
                let data = FileData {
                    size: length,
                    extents: vec![extent],
                    inline: None,
                };
                inodes.push(node(0o755, Kind::Regular(data)));
                children.insert(
                    name.clone().into_bytes(),
                    u32::try_from(inodes.len()).unwrap(),
                );
                files.insert(name, bytes);
            }
            stream.extend([0; 1024]);
            streams.push(stream);
        }
        inodes.insert(0, node(0o755, Kind::Directory { children }));
        let mut tables = vec![];
        let mut seek = vec![];
        for (stream, (stored, _)) in streams.iter().zip(layers) {
            let (mut table, blob) = layer(stream, *stored, CHUNK_BYTES);
            if let Some(columns) = &mut table.seek {
                columns.shift_windows(seek.len() as u64);
            }
            seek.extend(windows_of(&table, stream));
            server.add(&oci(&table.digest), blob);
            tables.push(table);
        }
        let archive = directory.join("image.clip");
        let model = Image { inodes };
        write(&archive, &model, &tables, &seek);
        Self {
            archive,
            files,
            tables,
            streams,
            server,
            model,
            seek,
        }
    }

    /// The part of a request that names the image.
    pub(crate) fn request(&self, cache: &Path) -> serde_json::Value {
        serde_json::json!({
            "v": 1,
            "archive": self.archive,
            "cacheDir": cache,
            "registry": { "baseUrl": self.server.url, "repository": "team/app" },
            // Enough for a busy machine.
            "readTimeoutMs": 5000,
        })
    }

    /// An archive of the same files over other layer tables, as a forger would write it.
    pub(crate) fn forge(&self, path: &Path, tables: &[LayerTable]) {
        write(path, &self.model, tables, &self.seek);
    }

    /// Where the windows of seek points lie in its archive.
    pub(crate) fn windows_at(&self, archive: &[u8]) -> std::ops::Range<usize> {
        let length = self.seek.len();
        let at = archive.windows(length).position(|part| part == self.seek);
        let at = at.unwrap();
        at..at + length
    }

    /// The `data` file of a layer's cache.
    pub(crate) fn cache_data(&self, cache: &Path, layer: usize) -> PathBuf {
        let name = mountd::cache::layer_name(&self.tables[layer]);
        cache.join("layers").join(name).join("data")
    }
}

fn node(permissions: u16, kind: Kind) -> Inode {
    Inode {
        permissions,
        uid: 0,
        gid: 0,
        mtime: Timestamp {
            seconds: 1_700_000_000,
            nanos: 5,
        },
        xattrs: BTreeMap::new(),
        kind,
    }
}

fn write(path: &Path, image: &Image, tables: &[LayerTable], seek: &[u8]) {
    let diff_ids: Vec<_> = tables.iter().map(|table| oci(&table.diff_id)).collect();
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))
    .unwrap();
    let descriptors: Vec<_> = tables
        .iter()
        .map(|table| serde_json::json!({ "mediaType": table.media_type, "digest": oci(&table.digest), "size": table.blob_bytes }))
        .collect();
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": oci(&sha256(&config)), "size": config.len() },
        "layers": descriptors,
    }))
    .unwrap();
    let manifest_layers: Vec<_> = tables
        .iter()
        .map(|table| ManifestLayer {
            digest: table.digest,
            diff_id: table.diff_id,
            media_type: table.media_type.clone(),
            size: table.blob_bytes,
        })
        .collect();
    let input = ArchiveInput {
        image,
        tables,
        extra: &[],
        seek,
        manifest_layers: &manifest_layers,
        config: &config,
        manifest: &manifest,
        registry: "127.0.0.1:5000",
        repository: "team/app",
        reference: &oci(&sha256(&manifest)),
        image_name: "127.0.0.1:5000/team/app:latest",
    };
    let mut bytes = vec![];
    write_archive(&input, &mut bytes).unwrap();
    fs::write(path, bytes).unwrap();
}
