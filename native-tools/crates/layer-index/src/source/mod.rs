//! Where a layer's plain stream comes from: the blob as it lies on disk, decoded when it is compressed.

mod blob;
mod gzip;
mod input;
mod plain;
mod points;
mod zstd;

pub(crate) use blob::BlobReader;
pub(crate) use gzip::GzipSource;
pub(crate) use input::{Input, Stream};
pub(crate) use plain::{PlainSource, PlainStream};
pub(crate) use points::{Head, HeadSink};
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

/// How a span is entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entrance {
    /// Bits of the byte before the span that belong to it.
    pub(crate) bits: u8,
    /// Number of the window that it continues from; none where a frame or member starts.
    pub(crate) window: Option<u64>,
}

/// Spans in blob order. Those without content belong to the one before, or move the first span.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SpanList {
    pub(crate) first: u64,
    pub(crate) spans: Vec<Span>,
    /// One a span.
    pub(crate) entrances: Vec<Entrance>,
}

impl SpanList {
    pub(crate) fn push(
        &mut self,
        span: Span,
        entrance: Entrance,
        limits: &Limits,
    ) -> Result<(), IndexError> {
        match self.spans.last_mut() {
            None if span.plain == 0 => self.first += span.stored,
            Some(last) if span.plain == 0 => last.stored += span.stored,
            _ => {
                self.spans.push(span);
                self.entrances.push(entrance);
            }
        }
        if self.spans.len() as u64 > limits.max_spans {
            return Err(IndexError::limit("the number of frames", limits.max_spans));
        }
        Ok(())
    }
}
