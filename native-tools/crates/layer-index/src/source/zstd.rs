//! A zstd blob, frame by frame (RFC 8878), skippable frames among them.

use archive_format::tables::Span;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{BlobReader, Entrance, Source, SpanList};
use crate::error::IndexError;
use crate::limits::Limits;

/// Frames may ask for a window of up to 128 MiB, as the `zstd` program grants without being asked.
const MAX_WINDOW_LOG: u32 = 27;

/// Decodes frames one after the other; the library checks their checksums.
pub(crate) struct ZstdSource {
    blob: BlobReader,
    limits: Limits,
    decoder: Decoder<'static>,
    frame_start: u64,
    frame_plain: u64,
    spans: SpanList,
}

impl ZstdSource {
    pub(crate) fn new(blob: BlobReader, limits: Limits) -> Result<Self, IndexError> {
        let failed = |error| IndexError::Internal(format!("zstd decoder: {error}"));
        let mut decoder = Decoder::new().map_err(failed)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
            .map_err(failed)?;
        Ok(Self {
            blob,
            limits,
            decoder,
            frame_start: 0,
            frame_plain: 0,
            spans: SpanList::default(),
        })
    }

    fn fault(&self, error: &std::io::Error) -> IndexError {
        let text = error.to_string();
        if text.contains("too much memory") {
            return IndexError::limit(
                format!(
                    "the window of the zstd frame at offset {}",
                    self.frame_start
                ),
                1 << MAX_WINDOW_LOG,
            );
        }
        IndexError::corrupt(format!(
            "the zstd frame at offset {}: {text}",
            self.frame_start
        ))
    }
}

impl Source for ZstdSource {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        loop {
            let input = self.blob.available()?;
            let is_end = input.is_empty();
            let mut input = InBuffer::around(input);
            let mut output = OutBuffer::around(&mut *out);
            let outcome = self.decoder.run(&mut input, &mut output);
            let (consumed, length) = (input.pos(), output.pos());
            self.blob.consume(consumed);
            self.frame_plain += length as u64;
            let hint = outcome.map_err(|error| self.fault(&error))?;
            let frame_bytes = self.blob.position() - self.frame_start;
            if hint == 0 && frame_bytes > 0 {
                let span = Span {
                    stored: frame_bytes,
                    plain: self.frame_plain,
                };
                self.spans.push(span, Entrance::default(), &self.limits)?;
                self.frame_start = self.blob.position();
                self.frame_plain = 0;
            }
            if length > 0 {
                return Ok(length);
            }
            if is_end {
                let is_inside = self.blob.position() > self.frame_start;
                return if is_inside || self.blob.position() == 0 {
                    Err(IndexError::Truncated(
                        "the blob ends in a zstd frame".to_owned(),
                    ))
                } else {
                    Ok(0)
                };
            }
        }
    }

    fn position(&self) -> u64 {
        self.blob.position()
    }

    fn spans(self: Box<Self>) -> SpanList {
        self.spans
    }
}
