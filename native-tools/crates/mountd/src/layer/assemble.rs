//! Cuts a decoded stream into chunks.

use std::ops::ControlFlow;

use super::geometry::Geometry;
use super::loose_ends::Ends;
use crate::source::FetchError;

/// Takes a chunk that is whole; says whether more are wanted.
pub(super) type Deliver<'a> = dyn FnMut(u32, Vec<u8>) -> Result<ControlFlow<()>, FetchError> + 'a;

/// Collects plain bytes, front to back, and hands on every chunk that lies whole in them.
pub(super) struct Assembler<'a> {
    geometry: &'a Geometry,
    deliver: &'a mut Deliver<'a>,
    /// Bytes still to pass over, when the stream starts inside a chunk, and those that were.
    skip: u64,
    passed: Vec<u8>,
    /// Where the stream starts.
    plain: u64,
    chunk: u32,
    buffer: Vec<u8>,
}

impl<'a> Assembler<'a> {
    /// For a stream that starts at byte `plain` of the layer.
    pub(super) fn new(geometry: &'a Geometry, plain: u64, deliver: &'a mut Deliver<'a>) -> Self {
        let chunk = geometry.chunks(plain..plain + 1).start;
        let range = geometry.chunk(chunk);
        let (chunk, skip) = if range.start == plain {
            (chunk, 0)
        } else {
            (chunk + 1, range.end - plain)
        };
        Self {
            geometry,
            deliver,
            skip,
            passed: Vec::new(),
            plain,
            chunk,
            buffer: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<ControlFlow<()>, FetchError> {
        let passed = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.skip -= passed as u64;
        self.passed
            .extend_from_slice(bytes.get(..passed).unwrap_or_default());
        bytes = bytes.get(passed..).unwrap_or_default();
        while !bytes.is_empty() {
            let length = self.chunk_length();
            if length == 0 {
                return Ok(ControlFlow::Break(())); // behind the last chunk
            }
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(length);
            }
            let (now, later) = bytes.split_at(bytes.len().min(length - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == length {
                let whole = std::mem::take(&mut self.buffer);
                if self.hand_on(whole)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes the next bytes without copying where they are exactly the next chunk, as in layers we packed.
    pub(super) fn take(&mut self, bytes: Vec<u8>) -> Result<ControlFlow<()>, FetchError> {
        if self.skip == 0
            && self.buffer.is_empty()
            && bytes.len() == self.chunk_length()
            && !bytes.is_empty()
        {
            return self.hand_on(bytes);
        }
        self.feed(&bytes)
    }

    /// What the stream had of chunks that are not whole in it: one that it began in, one that it ended in.
    pub(super) fn ends(self) -> Vec<(u32, Ends)> {
        let mut ends = vec![];
        let first = self.geometry.chunks(self.plain..self.plain + 1).start;
        if self.skip == 0 && !self.passed.is_empty() {
            let back = self.passed;
            ends.push((
                first,
                Ends {
                    back,
                    ..Ends::default()
                },
            ));
        }
        if !self.buffer.is_empty() {
            let front = self.buffer;
            ends.push((
                self.chunk,
                Ends {
                    front,
                    ..Ends::default()
                },
            ));
        }
        ends
    }

    fn hand_on(&mut self, whole: Vec<u8>) -> Result<ControlFlow<()>, FetchError> {
        let chunk = self.chunk;
        self.chunk += 1;
        (self.deliver)(chunk, whole)
    }

    fn chunk_length(&self) -> usize {
        let range = self.geometry.chunk(self.chunk);
        usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::table_of;

    proptest! {
        #[test]
        fn however_bytes_come_each_whole_chunk_comes_out_once(
            lengths in prop::collection::vec(1u32..40, 1..12),
            pieces in prop::collection::vec(1usize..50, 1..40),
            start in any::<prop::sample::Index>(),
            stop in any::<prop::sample::Index>(),
        ) {
            let total: usize = lengths.iter().map(|length| *length as usize).sum();
            let stream: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let geometry = Geometry::of(&table_of(&lengths, &[(1, total as u64)], 0));
            let start = start.index(total);
            let mut seen = vec![];
            let fed = (start + 1).max(total - stop.index(total));
            let mut deliver = |chunk: u32, bytes: Vec<u8>| {
                seen.push((chunk, bytes));
                Ok(ControlFlow::Continue(()))
            };
            let mut assembler = Assembler::new(&geometry, start as u64, &mut deliver);
            let mut rest = &stream[start..fed];
            for (index, piece) in pieces.iter().cycle().enumerate() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                let _ = if index % 2 == 0 { assembler.feed(now)? } else { assembler.take(now.to_vec())? };
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let ends = assembler.ends();
            let touched = (0..geometry.chunk_count()).map(|chunk| (chunk, geometry.chunk(chunk)));
            let cut: Vec<(u32, Ends)> = touched
                .filter_map(|(chunk, range)| {
                    let (from, to) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
                    let back = (from < start && start < to && to <= fed).then(|| stream[start..to].to_vec());
                    let front = (start <= from && from < fed && fed < to).then(|| stream[from..fed].to_vec());
                    let ends = Ends { front: front.unwrap_or_default(), back: back.unwrap_or_default() };
                    (ends != Ends::default()).then_some((chunk, ends))
                })
                .collect();
            prop_assert_eq!(ends, cut);
            let expected: Vec<(u32, Vec<u8>)> = (0..geometry.chunk_count())
                .map(|chunk| (chunk, geometry.chunk(chunk)))
                .filter(|(_, range)| range.start >= start as u64 && range.end <= fed as u64)
                .map(|(chunk, range)| {
                    let bytes = &stream[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                    (chunk, bytes.to_vec())
                })
                .collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
