//! Where a gzip member is cut into spans, and what is kept of the stream to make the window of each cut.
//! ADR 0007 has the measurements behind the numbers.

use std::mem;

use sys::inflate::{StopAt, WINDOW_BYTES};

use super::Entrance;
use crate::error::IndexError;

/// Far into a layer points stand this part of the way apart, so that their number grows as a logarithm: with 1 MiB near the
/// start, 2048 in the first 2 GiB and 15 000 in 1 TiB.
const SPACING_SHARE: u64 = 2048;
/// Stored bytes looked at to learn which bytes of a window are used. Sane streams make [`WINDOW_BYTES`] of less; a window
/// whose span begins with more (empty blocks without end) is kept whole.
const HEAD_STORED_BYTES: usize = 64 << 10;

/// A seek point with the stream around it: enough to learn which bytes of the window its span uses.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Counts the points of a layer, those that are dropped too.
    pub(crate) number: u64,
    /// Bits of `byte` (its highest) that belong to the span.
    pub(crate) bits: u8,
    /// The byte before the span.
    pub(crate) byte: u8,
    /// The last plain bytes before the span, at most [`WINDOW_BYTES`].
    pub(crate) window: Vec<u8>,
    /// The first stored bytes of the span: as many as make `plain`, or [`HEAD_STORED_BYTES`].
    pub(crate) stored: Vec<u8>,
    /// The first plain bytes of the span: all of it or [`WINDOW_BYTES`], behind which nothing refers to the window.
    pub(crate) plain: Vec<u8>,
}

/// Takes the heads as they are complete, in order.
pub(crate) type HeadSink = Box<dyn FnMut(Head) -> Result<(), IndexError>>;

/// Follows a decoder through the members of a blob.
pub(crate) struct Points {
    /// Least distance of points near the start.
    nominal: u64,
    sink: HeadSink,
    /// Plain bytes of the stream before the span.
    span_start: u64,
    /// Plain bytes of the span so far.
    span_plain: u64,
    entrance: Entrance,
    next_number: u64,
    /// The point that the span started with, until its head is complete.
    head: Option<Head>,
    /// The last plain bytes, from some place before a cut may come.
    tail: Vec<u8>,
    last_byte: u8,
}

impl Points {
    pub(super) fn new(nominal: u64, sink: HeadSink) -> Self {
        Self {
            nominal,
            sink,
            span_start: 0,
            span_plain: 0,
            entrance: Entrance::default(),
            next_number: 0,
            head: None,
            tail: Vec::new(),
            last_byte: 0,
        }
    }

    pub(super) fn begin_member(&mut self) {
        self.begin_span(Entrance::default());
        self.tail.clear();
    }

    fn begin_span(&mut self, entrance: Entrance) {
        self.span_start += mem::take(&mut self.span_plain);
        self.entrance = entrance;
    }

    fn spacing(&self) -> u64 {
        self.nominal.max(self.span_start / SPACING_SHARE)
    }

    /// How much the decoder may give next, at most `room`, and whether it shall stop at block ends. It runs freely up to one
    /// byte before a cut may come, so that the place of the cut depends on the stream alone.
    pub(super) fn next_stop(&self, room: usize) -> (usize, StopAt) {
        let free = self.spacing().saturating_sub(self.span_plain + 1);
        if free == 0 {
            return (room, StopAt::BlockEnd);
        }
        let most = usize::try_from(free).map_or(room, |free| free.min(room));
        (most, StopAt::Nowhere)
    }

    /// Takes note of stored bytes and the plain bytes that came of them.
    pub(super) fn saw(&mut self, stored: &[u8], plain: &[u8]) -> Result<(), IndexError> {
        self.span_plain += plain.len() as u64;
        if let Some(last) = stored.last() {
            self.last_byte = *last;
        }
        if let Some(head) = &mut self.head {
            extend(&mut head.stored, stored, HEAD_STORED_BYTES);
            extend(&mut head.plain, plain, WINDOW_BYTES);
            if head.stored.len() == HEAD_STORED_BYTES || head.plain.len() == WINDOW_BYTES {
                self.send_head()?;
            }
        }
        if self.span_plain + WINDOW_BYTES as u64 <= self.spacing() {
            self.tail.clear();
            return Ok(());
        }
        let kept = plain.len().saturating_sub(WINDOW_BYTES);
        self.tail
            .extend_from_slice(plain.get(kept..).unwrap_or_default());
        if self.tail.len() > 4 * WINDOW_BYTES {
            self.tail.drain(..self.tail.len() - WINDOW_BYTES);
        }
        Ok(())
    }

    /// The decoder stopped behind a block: the span that ends here, if one does.
    pub(super) fn cut(&mut self, bits: u8) -> Option<(u64, Entrance)> {
        if self.span_plain < self.spacing() || self.head.is_some() {
            return None;
        }
        let ended = (self.span_plain, self.entrance);
        let number = self.next_number;
        self.next_number += 1;
        let start = self.tail.len().saturating_sub(WINDOW_BYTES);
        self.head = Some(Head {
            number,
            bits,
            byte: self.last_byte,
            window: self.tail.get(start..).unwrap_or_default().to_vec(),
            ..Head::default()
        });
        self.begin_span(Entrance {
            bits,
            window: Some(number),
        });
        Some(ended)
    }

    /// The span that the member's end ends.
    pub(super) fn end_member(&mut self) -> Result<(u64, Entrance), IndexError> {
        if self.span_plain > 0 {
            self.send_head()?;
        }
        self.head = None; // a point with nothing behind it is no span
        Ok((self.span_plain, self.entrance))
    }

    fn send_head(&mut self) -> Result<(), IndexError> {
        self.head.take().map_or(Ok(()), |head| (self.sink)(head))
    }
}

/// Appends as much of `more` as `most` allows.
fn extend(bytes: &mut Vec<u8>, more: &[u8], most: usize) {
    let room = most - bytes.len().min(most);
    bytes.extend_from_slice(more.get(..room).unwrap_or(more));
}
