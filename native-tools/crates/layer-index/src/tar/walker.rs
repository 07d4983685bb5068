//! The tar stream as a state machine that is fed bytes in whatever pieces they come.

use std::mem;

use super::build::{Merged, Overrides, merge};
use super::header::{Block, Fault, parse_header, text};
use super::pax::parse_pax;
use super::sparse::{SparseMap, TextMap};
use super::{BLOCK_BYTES, BLOCK_LENGTH};
use crate::entry::{Entry, EntryData, Warnings};
use crate::error::IndexError;
use crate::limits::Limits;

/// What became of the bytes given to [`TarWalker::feed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// How many of them were taken; feed the rest again.
    pub taken: usize,
    /// The data of a large file begins after them, so a chunk ends here.
    pub cut: bool,
}

/// Whether the bytes taken so far end where a large file's data begins.
pub(super) type Cut = bool;

/// Takes the entries in stream order.
pub(super) type Sink<'a> = dyn FnMut(Entry) -> Result<(), IndexError> + 'a;

/// Reads a tar stream piece by piece and gives its entries to a sink in stream order. After the end-of-archive blocks
/// anything may follow, as with every container engine.
#[derive(Debug)]
pub struct TarWalker {
    pub(super) limits: Limits,
    /// Files with at least this much data make a cut before it.
    pub(super) large_bytes: u64,
    /// Offset of the next byte in the stream.
    pub(super) offset: u64,
    pub(super) block: Box<Block>,
    filled: usize,
    pub(super) state: State,
    overrides: Overrides,
    /// A header speaks about an entry that has not come yet.
    expects_entry: bool,
    pub(super) entries: u64,
    pub(super) relocated_bytes: u64,
    pub(super) warnings: Warnings,
}

/// What the next bytes of the stream are.
#[derive(Debug)]
pub(super) enum State {
    Header,
    /// One block of zeros was there; the second ends the archive.
    SecondZero,
    /// The body of a header that speaks about the next entry.
    Meta {
        kind: Meta,
        body: Vec<u8>,
        remaining: u64,
        padding: u64,
    },
    /// More of an old GNU sparse map, before the data section.
    GnuExtension {
        merged: Merged,
        map: SparseMap,
        size: u64,
        blocks: u64,
    },
    /// A sparse map at the start of the data section, of which `remaining` bytes are left.
    TextMap {
        merged: Merged,
        map: TextMap,
        size: u64,
        remaining: u64,
    },
    Data {
        merged: Merged,
        data: EntryData,
        remaining: u64,
        padding: u64,
        capture: Option<Vec<u8>>,
    },
    Padding {
        remaining: u64,
    },
    End,
}

/// The headers that speak about the next entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    Pax,
    Global,
    LongName,
    LongLink,
}

impl TarWalker {
    /// A walker at the start of a stream. A file with at least `large_bytes` of data makes a cut.
    #[must_use]
    pub fn new(limits: Limits, large_bytes: u64) -> Self {
        Self {
            limits,
            large_bytes,
            offset: 0,
            block: Box::new([0; BLOCK_LENGTH]),
            filled: 0,
            state: State::Header,
            overrides: Overrides::default(),
            expects_entry: false,
            entries: 0,
            relocated_bytes: 0,
            warnings: Warnings::default(),
        }
    }

    /// What was left out so far.
    #[must_use]
    pub fn warnings(&self) -> Warnings {
        self.warnings
    }

    /// Entries begun so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes bytes up to the next cut or all of them. Feed again until everything is taken.
    ///
    /// # Errors
    /// LAYER_CORRUPT, LAYER_PATH_INVALID, LIMIT_EXCEEDED, and what the sink says.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<Feed, IndexError> {
        let mut rest = bytes;
        let mut cut = false;
        while !cut && !rest.is_empty() {
            cut = self.step(&mut rest, sink)?;
        }
        Ok(Feed {
            taken: bytes.len() - rest.len(),
            cut,
        })
    }

    /// The stream is over.
    ///
    /// # Errors
    /// LAYER_TRUNCATED when it ended inside an entry. As for Go's reader, the end-of-archive blocks and the padding of
    /// the last entry may be missing.
    pub fn finish(&self) -> Result<(), IndexError> {
        let inside = match &self.state {
            State::Header if self.filled == 0 && self.expects_entry => {
                "an extended header has no entry"
            }
            State::Header | State::SecondZero if self.filled == 0 => return Ok(()),
            State::Padding { .. } if self.expects_entry => "an extended header has no entry",
            State::End | State::Padding { .. } => return Ok(()),
            State::Header | State::SecondZero => "a header block is incomplete",
            State::Meta { .. } => "an extended header is incomplete",
            State::GnuExtension { .. } | State::TextMap { .. } => "a sparse map is incomplete",
            State::Data { .. } => "a file's data is incomplete",
        };
        Err(IndexError::Truncated(format!(
            "{inside} at offset {}",
            self.offset
        )))
    }

    /// Advances by one piece of the stream.
    fn step(&mut self, rest: &mut &[u8], sink: &mut Sink<'_>) -> Result<Cut, IndexError> {
        match mem::replace(&mut self.state, State::End) {
            State::Header => self.header(rest, sink),
            State::SecondZero => self.second_zero(rest).map(|()| false),
            State::Meta {
                kind,
                mut body,
                mut remaining,
                padding,
            } => {
                let part = self.take(rest, remaining);
                body.extend_from_slice(part);
                remaining -= part.len() as u64;
                if remaining == 0 {
                    self.meta_done(kind, &body)?;
                    self.state = padding_state(padding);
                } else {
                    self.state = State::Meta {
                        kind,
                        body,
                        remaining,
                        padding,
                    };
                }
                Ok(false)
            }
            State::GnuExtension {
                merged,
                map,
                size,
                blocks,
            } => self.gnu_extension(merged, map, size, blocks, rest, sink),
            State::TextMap {
                merged,
                map,
                size,
                remaining,
            } => self.text_map(merged, map, size, remaining, rest, sink),
            State::Data {
                merged,
                data,
                mut remaining,
                padding,
                mut capture,
            } => {
                let part = self.take(rest, remaining);
                remaining -= part.len() as u64;
                if let Some(capture) = &mut capture {
                    capture.extend_from_slice(part);
                }
                if remaining == 0 {
                    self.data_done(merged, data, capture, sink)?;
                    self.state = padding_state(padding);
                } else {
                    self.state = State::Data {
                        merged,
                        data,
                        remaining,
                        padding,
                        capture,
                    };
                }
                Ok(false)
            }
            State::Padding { remaining } => {
                let part = self.take(rest, remaining);
                self.state = padding_state(remaining - part.len() as u64);
                Ok(false)
            }
            State::End => {
                self.take(rest, u64::MAX);
                Ok(false)
            }
        }
    }

    /// Takes at most `wanted` bytes off `rest`.
    fn take<'a>(&mut self, rest: &mut &'a [u8], wanted: u64) -> &'a [u8] {
        let length = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        let (part, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        *rest = after;
        self.offset += part.len() as u64;
        part
    }

    /// Fills the block buffer; true when a whole block is there.
    pub(super) fn fill(&mut self, rest: &mut &[u8]) -> bool {
        let part = self.take(rest, (self.block.len() - self.filled) as u64);
        let end = self.filled + part.len();
        if let Some(target) = self.block.get_mut(self.filled..end) {
            target.copy_from_slice(part);
        }
        self.filled = end % self.block.len();
        self.filled == 0
    }

    fn second_zero(&mut self, rest: &mut &[u8]) -> Result<(), IndexError> {
        if !self.fill(rest) {
            self.state = State::SecondZero;
        } else if self.block.iter().any(|byte| *byte != 0) {
            return Err(self.corrupt("a block of zeros in the middle of the archive"));
        }
        Ok(())
    }

    fn header(&mut self, rest: &mut &[u8], sink: &mut Sink<'_>) -> Result<Cut, IndexError> {
        if !self.fill(rest) {
            self.state = State::Header;
            return Ok(false);
        }
        if self.block.iter().all(|byte| *byte == 0) {
            if self.expects_entry {
                return Err(self.corrupt("an extended header has no entry"));
            }
            self.state = State::SecondZero;
            return Ok(false);
        }
        let header = parse_header(&self.block).map_err(|fault| self.corrupt(fault))?;
        let kind = match header.typeflag {
            b'x' => Meta::Pax,
            b'g' => Meta::Global,
            b'L' => Meta::LongName,
            b'K' => Meta::LongLink,
            _ => {
                self.expects_entry = false;
                let merged = merge(header, mem::take(&mut self.overrides))?;
                return self.begin_entry(merged, sink);
            }
        };
        let size = self.size(header.size)?;
        if size > self.limits.max_header_bytes {
            return Err(IndexError::setting(
                "header-bytes",
                format!("an extended header of {size} bytes"),
                self.limits.max_header_bytes,
            ));
        }
        self.expects_entry |= !matches!(kind, Meta::Global);
        if size == 0 {
            self.meta_done(kind, &[])?;
            self.state = State::Header;
        } else {
            self.state = State::Meta {
                kind,
                body: Vec::new(),
                remaining: size,
                padding: padding_of(size),
            };
        }
        Ok(false)
    }

    fn meta_done(&mut self, kind: Meta, body: &[u8]) -> Result<(), IndexError> {
        match kind {
            Meta::Pax => {
                self.overrides.pax = parse_pax(body).map_err(|fault| self.corrupt(fault))?;
            }
            Meta::Global => {
                parse_pax(body).map_err(|fault| self.corrupt(fault))?;
                self.warnings.ignored_global_headers += 1;
                // to Go's reader it is an entry of its own, which the headers before it were about
                self.overrides = Overrides::default();
                self.expects_entry = false;
            }
            Meta::LongName => self.overrides.long_name = text(body).to_vec(),
            Meta::LongLink => self.overrides.long_link = text(body).to_vec(),
        }
        Ok(())
    }

    /// A size from a header as a number of bytes within the limits.
    pub(super) fn size(&self, value: i64) -> Result<u64, IndexError> {
        let size = u64::try_from(value).map_err(|_| self.corrupt("a size is negative"))?;
        if size > self.limits.max_file_bytes {
            return Err(IndexError::setting(
                "file-bytes",
                format!("a file of {size} bytes"),
                self.limits.max_file_bytes,
            ));
        }
        Ok(size)
    }

    pub(super) fn corrupt(&self, fault: Fault) -> IndexError {
        IndexError::corrupt(format!(
            "entry {} before offset {}: {fault}",
            self.entries, self.offset
        ))
    }
}

/// Bytes from the end of a section of `size` bytes to the next block.
pub(super) fn padding_of(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_BYTES) - size
}

pub(super) fn padding_state(remaining: u64) -> State {
    if remaining == 0 {
        State::Header
    } else {
        State::Padding { remaining }
    }
}
