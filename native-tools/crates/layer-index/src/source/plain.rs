//! A blob that is a tar as it lies there, or as it comes.

use super::{BlobReader, Input, Source, SpanList};
use crate::error::IndexError;
use crate::stop::Stop;

/// The plain stream is the blob.
pub(crate) struct PlainSource {
    input: Input,
    name: String,
    stop: Stop,
    position: u64,
}

impl PlainSource {
    pub(crate) fn new(input: Input, name: String, stop: Stop) -> Self {
        Self {
            input,
            name,
            stop,
            position: 0,
        }
    }
}

impl Source for PlainSource {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        let length = self.input.read(out, &self.name, &self.stop)?;
        if self.position == 0 {
            refuse_compressed(out.get(..length).unwrap_or(out))?;
        }
        self.position += length as u64;
        Ok(length)
    }

    fn position(&self) -> u64 {
        self.position
    }

    /// The chunks are the spans of a plain blob; whoever makes them fills this in.
    fn spans(self: Box<Self>) -> SpanList {
        SpanList::default()
    }
}

/// A plain blob that cannot be read twice: hashed as a blob too, so that a bad tar in it can be told from a wrong blob.
pub(crate) struct PlainStream(pub(crate) BlobReader);

impl Source for PlainStream {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        let is_start = self.0.position() == 0;
        let bytes = self.0.available()?;
        let length = bytes.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        if is_start {
            refuse_compressed(bytes)?;
        }
        self.0.consume(length);
        Ok(length)
    }

    fn position(&self) -> u64 {
        self.0.position()
    }

    fn spans(self: Box<Self>) -> SpanList {
        SpanList::default()
    }
}

/// A wrong media type is told by what it is, not as a tar with a bad checksum.
fn refuse_compressed(start: &[u8]) -> Result<(), IndexError> {
    let found = match start {
        [0x1f, 0x8b, 8, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => "zstd",
        _ => return Ok(()),
    };
    Err(IndexError::corrupt(format!(
        "the media type says a plain tar, the bytes are {found}"
    )))
}
