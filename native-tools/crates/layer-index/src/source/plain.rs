//! A blob that is a tar as it lies there.

use std::fs::File;

use super::blob::read_some;
use super::{Source, SpanList};
use crate::error::IndexError;

/// The plain stream is the blob.
pub(crate) struct PlainSource {
    file: File,
    name: String,
    position: u64,
}

impl PlainSource {
    pub(crate) fn new(file: File, name: String) -> Self {
        Self {
            file,
            name,
            position: 0,
        }
    }
}

impl Source for PlainSource {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        let length = read_some(&mut self.file, out, &self.name)?;
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
