//! Entries and the tail as they are serialised (postcard).

use std::collections::BTreeMap;

use archive_format::model::{DeviceNumber, Timestamp};
use archive_format::tables::{Chunk, Codec, LayerTable, RecordKind, SeekColumns, Span};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use crate::entry::{Entry, EntryData, EntryKind, Sparse, Stretch, Warnings};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredEntry<'a> {
    #[serde(borrow)]
    path: &'a Bytes,
    permissions: u16,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanos: u32,
    #[serde(borrow)]
    xattrs: Vec<(&'a Bytes, &'a Bytes)>,
    #[serde(borrow)]
    kind: StoredKind<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
enum StoredKind<'a> {
    Directory,
    Regular {
        size: u64,
        offset: u64,
        #[serde(borrow)]
        inline: Option<&'a Bytes>,
        #[serde(borrow)]
        sparse: Option<StoredSparse<'a>>,
    },
    HardLink(#[serde(borrow)] &'a Bytes),
    Symlink(#[serde(borrow)] &'a Bytes),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredSparse<'a> {
    stretches: Vec<Stretch>,
    #[serde(borrow)]
    relocated: Option<&'a Bytes>,
}

impl<'a> From<&'a Entry> for StoredEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        let kind = match &entry.kind {
            EntryKind::Directory => StoredKind::Directory,
            EntryKind::Regular(data) => StoredKind::Regular {
                size: data.size,
                offset: data.offset,
                inline: data.inline.as_deref().map(Bytes::new),
                sparse: data.sparse.as_ref().map(|sparse| StoredSparse {
                    stretches: sparse.stretches.clone(),
                    relocated: sparse.relocated.as_deref().map(Bytes::new),
                }),
            },
            EntryKind::HardLink { target } => StoredKind::HardLink(Bytes::new(target)),
            EntryKind::Symlink { target } => StoredKind::Symlink(Bytes::new(target)),
            EntryKind::CharDevice(device) => StoredKind::CharDevice(device.major, device.minor),
            EntryKind::BlockDevice(device) => StoredKind::BlockDevice(device.major, device.minor),
            EntryKind::Fifo => StoredKind::Fifo,
        };
        Self {
            path: Bytes::new(&entry.path),
            permissions: entry.permissions,
            uid: entry.uid,
            gid: entry.gid,
            seconds: entry.mtime.seconds,
            nanos: entry.mtime.nanos,
            xattrs: entry
                .xattrs
                .iter()
                .map(|(name, value)| (Bytes::new(name), Bytes::new(value)))
                .collect(),
            kind,
        }
    }
}

impl From<StoredEntry<'_>> for Entry {
    fn from(stored: StoredEntry<'_>) -> Self {
        let kind = match stored.kind {
            StoredKind::Directory => EntryKind::Directory,
            StoredKind::Regular {
                size,
                offset,
                inline,
                sparse,
            } => EntryKind::Regular(EntryData {
                size,
                offset,
                inline: inline.map(|bytes| bytes.to_vec()),
                sparse: sparse.map(|sparse| Sparse {
                    stretches: sparse.stretches,
                    relocated: sparse.relocated.map(|bytes| bytes.to_vec()),
                }),
            }),
            StoredKind::HardLink(target) => EntryKind::HardLink {
                target: target.to_vec(),
            },
            StoredKind::Symlink(target) => EntryKind::Symlink {
                target: target.to_vec(),
            },
            StoredKind::CharDevice(major, minor) => {
                EntryKind::CharDevice(DeviceNumber { major, minor })
            }
            StoredKind::BlockDevice(major, minor) => {
                EntryKind::BlockDevice(DeviceNumber { major, minor })
            }
            StoredKind::Fifo => EntryKind::Fifo,
        };
        let xattrs: BTreeMap<_, _> = stored
            .xattrs
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        Self {
            path: stored.path.to_vec(),
            kind,
            permissions: stored.permissions,
            uid: stored.uid,
            gid: stored.gid,
            mtime: Timestamp {
                seconds: stored.seconds,
                nanos: stored.nanos,
            },
            xattrs,
        }
    }
}

/// The layer as a whole; stands behind the entries and is read before them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredTail {
    digest: [u8; 32],
    diff_id: [u8; 32],
    blob_bytes: u64,
    plain_bytes: u64,
    codec: u8,
    media_type: String,
    chunk_bytes: u32,
    first_span: u64,
    spans: Vec<(u64, u64)>,
    chunks: Vec<(u32, [u8; 32])>,
    pub(super) entries: u64,
    pub(super) warnings: Warnings,
    /// A row a span, or none: bits, offset and stored length of the window, its digest.
    seek: Vec<(u8, u64, u32, [u8; 32])>,
    /// Length of all windows.
    pub(super) window_bytes: u64,
}

impl StoredTail {
    pub(super) fn new(
        table: &LayerTable,
        windows: &[u8],
        entries: u64,
        warnings: Warnings,
    ) -> Self {
        Self {
            digest: table.digest,
            diff_id: table.diff_id,
            blob_bytes: table.blob_bytes,
            plain_bytes: table.plain_bytes,
            codec: match table.codec {
                Codec::Plain => 0,
                Codec::Gzip => 1,
                Codec::Zstd => 2,
            },
            media_type: table.media_type.clone(),
            chunk_bytes: table.chunk_bytes,
            first_span: table.first_span,
            spans: table
                .spans
                .iter()
                .map(|span| (span.stored, span.plain))
                .collect(),
            chunks: table
                .chunks
                .iter()
                .map(|chunk| (chunk.plain, chunk.digest))
                .collect(),
            entries,
            warnings,
            seek: table.seek.as_ref().map(seek_rows).unwrap_or_default(),
            window_bytes: windows.len() as u64,
        }
    }

    /// The table, not yet checked; nothing for an unknown codec.
    pub(super) fn into_table(self) -> Option<LayerTable> {
        Some(LayerTable {
            digest: self.digest,
            diff_id: self.diff_id,
            blob_bytes: self.blob_bytes,
            plain_bytes: self.plain_bytes,
            codec: match self.codec {
                0 => Codec::Plain,
                1 => Codec::Gzip,
                2 => Codec::Zstd,
                _ => return None,
            },
            kind: RecordKind::Layer,
            media_type: self.media_type,
            chunk_bytes: self.chunk_bytes,
            first_span: self.first_span,
            spans: self
                .spans
                .into_iter()
                .map(|(stored, plain)| Span { stored, plain })
                .collect(),
            chunks: self
                .chunks
                .into_iter()
                .map(|(plain, digest)| Chunk { plain, digest })
                .collect(),
            seek: (!self.seek.is_empty()).then(|| seek_columns(self.seek)),
        })
    }
}

fn seek_rows(seek: &SeekColumns) -> Vec<(u8, u64, u32, [u8; 32])> {
    let windows = seek.window_offset.iter().zip(&seek.window_stored);
    let rows = seek.bits.iter().zip(windows).zip(&seek.window_digest);
    rows.map(|((bits, (offset, stored)), digest)| (*bits, *offset, *stored, *digest))
        .collect()
}

fn seek_columns(rows: Vec<(u8, u64, u32, [u8; 32])>) -> SeekColumns {
    let mut seek = SeekColumns::default();
    for (bits, offset, stored, digest) in rows {
        seek.bits.push(bits);
        seek.window_offset.push(offset);
        seek.window_stored.push(stored);
        seek.window_digest.push(digest);
    }
    seek
}
