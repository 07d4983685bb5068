//! The pack pipeline. One thread a layer reads and walks the tar and cuts chunks; a pool shared by all layers hashes
//! and compresses chunks; a thread a layer writes them in order; two more hash the streams. Buffers go round, so memory
//! is bounded whatever the sizes.

mod collect;
mod encode;
mod expect;
mod feed;
mod hash;
mod layer;
mod level;
mod points;
mod run;
mod seek;
mod window;
mod worker;

use std::path::PathBuf;

use archive_format::digest::Digest;
use archive_format::tables::Codec;

use crate::entry::Warnings;
use crate::limits::Limits;
use crate::source::Recognised;

pub(crate) use hash::hash_stream;
pub(crate) use layer::{SeekPoints, source_of};
pub use level::LevelControl;
pub use points::{SeekableBlob, read_seekable};
pub use run::{LayerFailure, pack_layers};

/// Plain and stored buffers of all layers together stay below this. Beside them there are the encoders (about 2 MiB a
/// job at level 1, 8 MiB at level 19, with chunks of 256 KiB), the pieces of compressed sources (2.5 MiB a layer being
/// read) and the tables (52 bytes a chunk; a window a seek point, see `pack::seek`), so that the process stays below 256 MiB for any size and number of layers. A
/// foreign zstd blob adds the window its frames ask for: 8 MiB as most tools write them, 128 MiB at most.
pub(crate) const MAX_BUFFER_BYTES: usize = 96 << 20;

/// A blob's growth is told when it is at least this: often enough to keep a link busy, seldom enough to cost nothing.
pub const WRITTEN_STEP: u64 = 1 << 20;

/// Levels of zstd that can be asked for.
pub const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// Where a blob comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A unix socket that serves blobs: the reader says the digest and a line feed, and gets the bytes to their end.
    Socket(PathBuf),
    /// A stream that a plan puts together, with stretches of a data file.
    Planned {
        /// What the stream is made of.
        plan: PathBuf,
        /// Where the stretches are.
        data: PathBuf,
    },
}

impl From<PathBuf> for Origin {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Socket(path) => write!(out, "socket:{}", path.display()),
            Self::Planned { data, .. } => data.display().fmt(out),
        }
    }
}
/// Plain bytes between the seek points of a foreign gzip layer. A read fetches and decodes half of it, on average, before
/// what it wants; every point costs a window (ADR 0007).
pub const SEEK_BYTES: u64 = 1 << 20;

/// One layer to pack or to keep.
#[derive(Debug, Clone)]
pub struct LayerJob {
    /// The caller's name for it.
    pub id: String,
    /// The blob.
    pub source: Origin,
    /// Media type of the blob.
    pub media_type: String,
    /// The diffID it must have.
    pub diff_id: Option<Digest>,
    /// The digest the blob must have.
    pub expected_digest: Option<Digest>,
    /// The size the blob must have.
    pub expected_size: Option<u64>,
    /// What to make of it.
    pub action: Action,
    /// Where the index goes.
    pub index: PathBuf,
}

/// What to make of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write a new blob of the plain stream.
    Pack {
        /// How it is compressed.
        encoding: Encoding,
        /// Where it goes.
        output: PathBuf,
    },
    /// Index the blob as it is.
    Keep,
}

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// One zstd frame a chunk, levels 1 to 19.
    Zstd(i32),
    /// One gzip member a chunk, levels 1 to 12.
    Gzip(i32),
    /// Stored.
    Plain,
}

impl Encoding {
    /// The codec of the blob.
    #[must_use]
    pub fn codec(self) -> Codec {
        match self {
            Self::Zstd(_) => Codec::Zstd,
            Self::Gzip(_) => Codec::Gzip,
            Self::Plain => Codec::Plain,
        }
    }
}

/// How the work is done.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Threads that hash and compress.
    pub jobs: usize,
    /// Nominal chunk size, a power of two.
    pub chunk_bytes: u32,
    /// Nominal distance of seek points; [`SEEK_BYTES`] unless for a test. It is no part of the encoder's name.
    pub seek_bytes: u64,
    /// Bounds on each layer.
    pub limits: Limits,
    /// Changes the level on the way.
    pub level: LevelControl,
}

/// What came out of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// SHA-256 of the blob (packed, or kept).
    pub digest: Digest,
    /// SHA-256 of the plain stream.
    pub diff_id: Digest,
    /// Media type of the blob.
    pub media_type: String,
    /// Size of the blob.
    pub size_bytes: u64,
    /// Size of the plain stream.
    pub plain_bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
    /// Rows of the chunk table.
    pub chunks: u64,
    /// Parts of the blob that decode alone.
    pub spans: u64,
    /// Whether parts of the blob can be read without the rest.
    pub is_seekable: bool,
    /// What kind of blob it is, as told by its end.
    pub recognised: Recognised,
    /// What was left out.
    pub warnings: Warnings,
}

/// Hears how the work goes; called from several threads.
pub trait Observer: Sync {
    /// A layer's source has been read this far, of so many bytes where that is known.
    fn progress(&self, id: &str, done_bytes: u64, total_bytes: Option<u64>);
    /// So many bytes of a layer's blob stand in its file; told in order, at most once a [`WRITTEN_STEP`].
    fn written(&self, _id: &str, _written_bytes: u64) {}
    /// A layer is done.
    fn layer_done(&self, id: &str, report: &LayerReport);
}
