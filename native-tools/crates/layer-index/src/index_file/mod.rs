//! The layer index: everything that assembling an archive needs of a layer, in one small file.
//! `docs/formats/layer-index.md`.

mod read;
mod records;
mod write;

pub use read::IndexReader;
pub use write::IndexWriter;

/// First bytes of every index.
const MAGIC: &[u8; 8] = b"CLIPYIDX";
/// Version of the whole format: another one is another format.
pub(crate) const VERSION: u16 = 2;
/// Magic, version, zeros.
const HEADER_BYTES: usize = 16;
/// Offset of the tail frame, then BLAKE3 of everything before it.
const TRAILER_BYTES: usize = 40;
