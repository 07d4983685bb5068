//! A gzip blob, member by member (RFC 1952).

use archive_format::tables::Span;
use flate2::Crc;
use sys::inflate::{InflateError, Inflater, Place, Wrapping};

use super::points::Points;
use super::{BlobReader, Entrance, HeadSink, Source, SpanList, Tail};
use crate::error::IndexError;
use crate::limits::Limits;

/// Inflates members one after the other and checks each member's CRC and length.
pub(crate) struct GzipSource {
    blob: BlobReader,
    limits: Limits,
    inflater: Inflater,
    crc: Crc,
    state: State,
    member_start: u64,
    span_start: u64,
    points: Points,
    spans: SpanList,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BetweenMembers,
    Body,
    End,
}

/// Flag bits of a member's header.
const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

impl GzipSource {
    /// Seek points are at least `spacing` plain bytes apart near the start of the layer, farther
    /// and farther behind it; what their windows are made of goes to `sink`.
    pub(crate) fn new(
        blob: BlobReader,
        limits: Limits,
        spacing: u64,
        sink: HeadSink,
    ) -> Result<Self, IndexError> {
        Ok(Self {
            blob,
            limits,
            inflater: Inflater::new(Wrapping::Raw)
                .map_err(|error| IndexError::Internal(error.to_string()))?,
            crc: Crc::new(),
            state: State::BetweenMembers,
            member_start: 0,
            span_start: 0,
            points: Points::new(spacing, sink),
            spans: SpanList::default(),
        })
    }

    fn byte(&mut self) -> Result<u8, IndexError> {
        self.blob
            .next_byte()?
            .ok_or_else(|| truncated("in a gzip member's header or trailer"))
    }

    /// Reads a member's header; false at the end of the blob.
    fn begin_member(&mut self) -> Result<bool, IndexError> {
        self.member_start = self.blob.position();
        let is_first = self.member_start == 0;
        match self.blob.next_byte()? {
            None if is_first => return Err(truncated("before the first gzip member")),
            None => return Ok(false),
            // tapes and some tools pad with zeros
            Some(0) if !is_first => return self.only_zeros().map(|()| false),
            Some(0x1f) => {}
            Some(_) => return Err(self.not_gzip()),
        }
        if self.byte()? != 0x8b || self.byte()? != 8 {
            return Err(self.not_gzip());
        }
        let flags = self.byte()?;
        if flags & FLAGS_RESERVED != 0 {
            return Err(self.not_gzip());
        }
        for _ in 0..6 {
            self.byte()?; // time, extra flags, system
        }
        if flags & FLAG_EXTRA != 0 {
            let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
            for _ in 0..length {
                self.byte()?;
            }
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            if flags & flag != 0 {
                while self.byte()? != 0 {}
            }
        }
        if flags & FLAG_HEADER_CRC != 0 {
            self.byte()?;
            self.byte()?;
        }
        self.inflater
            .reset(Wrapping::Raw)
            .map_err(|error| self.broken(error))?;
        self.crc.reset();
        self.points.begin_member();
        self.span_start = self.member_start;
        Ok(true)
    }

    fn only_zeros(&mut self) -> Result<(), IndexError> {
        loop {
            let bytes = self.blob.available()?;
            if bytes.is_empty() {
                return Ok(());
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(self.not_gzip());
            }
            let length = bytes.len();
            self.blob.consume(length);
        }
    }

    fn not_gzip(&self) -> IndexError {
        IndexError::corrupt(format!("no gzip member at offset {}", self.member_start))
    }

    fn end_member(&mut self) -> Result<(), IndexError> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.byte()?;
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = trailer;
        if u32::from_le_bytes([c0, c1, c2, c3]) != self.crc.sum()
            || u32::from_le_bytes([l0, l1, l2, l3]) != self.crc.amount()
        {
            return Err(IndexError::corrupt(format!(
                "the gzip member at offset {} has another checksum or length than its trailer",
                self.member_start
            )));
        }
        let entrance = self.points.end_member()?;
        self.end_span(entrance)
    }

    /// Ends a span here; the next one starts here.
    fn end_span(&mut self, (plain, entrance): (u64, Entrance)) -> Result<(), IndexError> {
        let stored = self.blob.position() - self.span_start;
        self.span_start = self.blob.position();
        self.spans
            .push(Span { stored, plain }, entrance, &self.limits)
    }

    fn broken(&self, error: InflateError) -> IndexError {
        IndexError::corrupt(format!(
            "the gzip member at offset {}: {error}",
            self.member_start
        ))
    }

    /// Decodes some of a member; bytes made.
    fn body(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        let (most, stop) = self.points.next_stop(out.len());
        let out = out.get_mut(..most).unwrap_or_default();
        let input = self.blob.available()?;
        if input.is_empty() {
            return Err(truncated("in a gzip member"));
        }
        let step = match self.inflater.run(input, out, stop) {
            Ok(step) => step,
            Err(error) => return Err(self.broken(error)),
        };
        let made = out.get(..step.produced).unwrap_or_default();
        let taken = input.get(..step.consumed).unwrap_or_default();
        self.crc.update(made);
        self.points.saw(taken, made)?;
        self.blob.consume(step.consumed);
        match step.place {
            Place::StreamEnd => {
                self.end_member()?;
                self.state = State::BetweenMembers;
            }
            Place::BlockEnd(bits) => {
                if let Some(ended) = self.points.cut(bits) {
                    self.end_span(ended)?;
                }
            }
            Place::Inside if step.consumed == 0 && step.produced == 0 => {
                return Err(IndexError::corrupt("the gzip stream makes no progress"));
            }
            Place::Inside => {}
        }
        Ok(step.produced)
    }
}

impl Source for GzipSource {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        loop {
            match self.state {
                State::End => return Ok(0),
                State::BetweenMembers => {
                    self.state = if self.begin_member()? {
                        State::Body
                    } else {
                        State::End
                    };
                }
                State::Body => {
                    let length = self.body(out)?;
                    if length > 0 {
                        return Ok(length);
                    }
                }
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

fn truncated(place: &str) -> IndexError {
    IndexError::Truncated(format!("the blob ends {place}"))
}
