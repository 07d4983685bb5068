//! A zstd blob, frame by frame (RFC 8878), skippable frames among them.

use archive_format::tables::Span;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::zstd_frame::FrameStart;
use super::{BlobReader, Entrance, Source, SpanList, Tail};
use crate::error::IndexError;
use crate::limits::Limits;

/// Frames may ask for a window of up to 128 MiB, as the `zstd` program grants without being asked.
const MAX_WINDOW_LOG: u32 = 27;

/// Decodes frames one after the other; the library checks their checksums. What a frame's header says of its content is
/// held against the content: a mount decodes into a buffer of that size and would refuse the frame.
pub(crate) struct ZstdSource {
    blob: BlobReader,
    limits: Limits,
    decoder: Decoder<'static>,
    frame: FrameStart,
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
            frame: FrameStart::default(),
            frame_start: 0,
            frame_plain: 0,
            spans: SpanList::default(),
        })
    }

    fn fault(&self, error: &std::io::Error) -> IndexError {
        let text = error.to_string();
        if text.contains("too much memory") {
            return self.window_too_large();
        }
        IndexError::corrupt(format!(
            "the zstd frame at offset {}: {text}",
            self.frame_start
        ))
    }

    fn window_too_large(&self) -> IndexError {
        IndexError::setting(
            "window-bytes",
            format!(
                "the window of the zstd frame at offset {}",
                self.frame_start
            ),
            self.limits.max_window_bytes.min(1 << MAX_WINDOW_LOG),
        )
    }

    fn check_window(&self) -> Result<(), IndexError> {
        match self.frame.window_bytes() {
            Some(window) if window > self.limits.max_window_bytes => Err(self.window_too_large()),
            _ => Ok(()),
        }
    }

    /// A frame is complete: its content has the size its header says. The library does not look where the last block is
    /// empty.
    fn end_frame(&mut self, frame_bytes: u64) -> Result<(), IndexError> {
        let plain = self.frame_plain;
        if let Some(said) = self.frame.content_bytes().filter(|said| *said != plain) {
            return Err(IndexError::corrupt(format!(
                "the zstd frame at offset {} has {plain} bytes and says {said}",
                self.frame_start
            )));
        }
        let span = Span {
            stored: frame_bytes,
            plain,
        };
        self.spans.push(span, Entrance::default(), &self.limits)?;
        self.frame = FrameStart::default();
        self.frame_start = self.blob.position();
        self.frame_plain = 0;
        Ok(())
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
            self.frame
                .take(input.src.get(..consumed).unwrap_or(input.src));
            self.blob.consume(consumed);
            self.frame_plain += length as u64;
            self.check_window()?;
            let hint = outcome.map_err(|error| self.fault(&error))?;
            let frame_bytes = self.blob.position() - self.frame_start;
            if hint == 0 && frame_bytes > 0 {
                self.end_frame(frame_bytes)?;
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

    fn take_tail(&mut self) -> Tail {
        self.blob.take_tail()
    }

    fn spans(self: Box<Self>) -> SpanList {
        self.spans
    }
}
