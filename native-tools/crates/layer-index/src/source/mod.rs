//! Where a layer's plain stream comes from: the blob as it lies on disk, decoded when it is compressed.

mod blob;
mod format;
mod gzip;
mod input;
mod plain;
mod planned;
mod points;
mod tail;
mod zstd;
mod zstd_frame;

pub(crate) use blob::BlobReader;
pub(crate) use format::recognise;
pub use format::{LayerFormat, Recognised};
pub(crate) use gzip::GzipSource;
pub(crate) use input::{Input, Stream};
pub(crate) use plain::{PlainSource, PlainStream};
pub(crate) use planned::Planned;
pub(crate) use points::{Head, HeadSink};
pub(crate) use tail::Tail;
pub(crate) use zstd::ZstdSource;

use std::fs::File;
use std::thread;

use archive_format::tables::{Codec, Span};

use crate::buffers::BufferPool;
use crate::error::IndexError;
use crate::limits::Limits;
use crate::stop::Stop;

/// Plain bytes asked for at once by [`read_blob`].
const READ_BYTES: usize = 128 << 10;

/// A blob being read as its plain stream.
pub(crate) trait Source {
    /// The next plain bytes; 0 at the end of a complete blob.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError>;

    /// Bytes of the blob taken so far.
    fn position(&self) -> u64;

    /// The last bytes of a compressed blob, once it was read to its end.
    fn take_tail(&mut self) -> Tail {
        Tail::default()
    }

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
            return Err(IndexError::setting(
                "spans",
                "the number of frames",
                limits.max_spans,
            ));
        }
        Ok(())
    }
}

/// Decodes a whole blob as a pack does, without indexing it: its plain bytes go to `sink`. Gives the offset of the first
/// span and the spans; those of a plain blob are its chunks, so it has none here.
///
/// # Errors
/// LAYER_TRUNCATED, LAYER_CORRUPT, LIMIT_EXCEEDED, IO_FAILED, and what the sink says.
pub fn read_blob(
    codec: Codec,
    file: File,
    limits: &Limits,
    mut sink: impl FnMut(&[u8]) -> Result<(), IndexError>,
) -> Result<(u64, Vec<Span>), IndexError> {
    let (hasher, pieces) = crossbeam_channel::unbounded();
    thread::scope(|scope| {
        scope.spawn(move || pieces.into_iter().for_each(drop));
        let name = "the blob".to_owned();
        let blob = |file| {
            let pool = BufferPool::new(2, 256 << 10);
            BlobReader::new(Input::File(file), name.clone(), pool, hasher, Stop::new())
        };
        let mut source: Box<dyn Source> = match codec {
            Codec::Plain => Box::new(PlainSource::new(Input::File(file), name, Stop::new())),
            Codec::Gzip => Box::new(GzipSource::new(
                blob(file),
                limits.clone(),
                u64::MAX,
                Box::new(|_| Ok(())),
            )?),
            Codec::Zstd => Box::new(ZstdSource::new(blob(file), limits.clone())?),
        };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = source.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            sink(buffer.get(..length).unwrap_or(&buffer))?;
        }
        let spans = source.spans();
        Ok((spans.first, spans.spans))
    })
}
