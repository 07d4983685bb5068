//! Where a layer's plain stream comes from: the blob as it lies on disk, decoded when it is compressed.

mod blob;
mod gzip;
mod plain;
mod zstd;
mod zstd_frame;

pub(crate) use blob::BlobReader;
pub(crate) use gzip::GzipSource;
pub(crate) use plain::PlainSource;
pub(crate) use zstd::ZstdSource;

use archive_format::tables::Span;

use crate::error::IndexError;
use crate::limits::Limits;

/// A blob being read as its plain stream.
pub(crate) trait Source {
    /// The next plain bytes; 0 at the end of a complete blob.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError>;

    /// Bytes of the blob taken so far.
    fn position(&self) -> u64;

    /// The parts of a compressed blob that decode alone, once it was read to its end.
    fn spans(self: Box<Self>) -> SpanList;
}

/// Frames or members in blob order. Those without content belong to the one before, or move the first span.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SpanList {
    pub(crate) first: u64,
    pub(crate) spans: Vec<Span>,
}

impl SpanList {
    pub(crate) fn push(
        &mut self,
        stored: u64,
        plain: u64,
        limits: &Limits,
    ) -> Result<(), IndexError> {
        match self.spans.last_mut() {
            None if plain == 0 => self.first += stored,
            Some(last) if plain == 0 => last.stored += stored,
            _ => self.spans.push(Span { stored, plain }),
        }
        if self.spans.len() as u64 > limits.max_spans {
            return Err(IndexError::setting(
                "spans",
                "the number of frames",
                limits.max_spans,
            ));
        }
        Ok(())
    }
}
