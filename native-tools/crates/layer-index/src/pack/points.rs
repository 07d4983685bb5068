//! A gzip blob read as a pack reads it, with its seek points and without an index file.

use std::fs::File;
use std::thread;

use archive_format::tables::{Codec, SeekColumns, Span};
use crossbeam_channel::unbounded;

use super::layer::{SeekPoints, source_of};
use super::seek::seek_of;
use super::window::WindowMaker;
use crate::error::IndexError;
use crate::limits::Limits;
use crate::source::{Input, SpanList};
use crate::stop::Stop;

/// Plain bytes asked for at once.
const READ_BYTES: usize = 128 << 10;

/// What is known of a blob that was read to its end.
#[derive(Debug, Default)]
pub struct SeekableBlob {
    /// Offset of the first span.
    pub first_span: u64,
    /// Spans in blob order.
    pub spans: Vec<Span>,
    /// How each is entered; nothing when all of them start a member.
    pub seek: Option<SeekColumns>,
    /// The stored windows, one behind the other.
    pub windows: Vec<u8>,
}

/// Decodes a gzip blob, its plain bytes to `sink`, and cuts it at points that are `spacing` plain bytes apart or more.
///
/// # Errors
/// As [`crate::source::read_blob`].
pub fn read_seekable(
    file: File,
    limits: &Limits,
    spacing: u64,
    mut sink: impl FnMut(&[u8]) -> Result<(), IndexError>,
) -> Result<SeekableBlob, IndexError> {
    let (hasher, pieces) = unbounded();
    let (heads_in, heads) = unbounded();
    let points = SeekPoints::new(
        spacing,
        Box::new(move |head| heads_in.send(head).map_err(|_| IndexError::Canceled)),
    );
    let list: SpanList = thread::scope(|scope| {
        scope.spawn(move || pieces.into_iter().for_each(drop));
        let name = "the blob".to_owned();
        let stop = Stop::new();
        let input = Input::File(file);
        let mut source = source_of(Codec::Gzip, input, name, limits, points, hasher, &stop)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = source.read(&mut buffer)?;
            if length == 0 {
                return Ok::<_, IndexError>(source.spans());
            }
            sink(buffer.get(..length).unwrap_or(&buffer))?;
        }
    })?;
    let (made, windows) = unbounded();
    let mut maker = WindowMaker::default();
    for head in heads {
        let _ = made.send((head.number, maker.make(&head)));
    }
    drop(made);
    let seek = seek_of(&list.entrances, windows)?;
    Ok(SeekableBlob {
        first_span: list.first,
        spans: list.spans,
        seek: seek.columns,
        windows: seek.windows,
    })
}
