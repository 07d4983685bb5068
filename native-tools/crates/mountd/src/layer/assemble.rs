//! Cuts a decoded stream into chunks.

use std::ops::ControlFlow;

use super::geometry::Geometry;
use crate::source::FetchError;

/// Takes a chunk that is whole; says whether more are wanted.
pub(super) type Deliver<'a> = dyn FnMut(u32, Vec<u8>) -> Result<ControlFlow<()>, FetchError> + 'a;

/// Collects plain bytes, front to back, and hands on every chunk that lies whole in them.
pub(super) struct Assembler<'a> {
    geometry: &'a Geometry,
    deliver: &'a mut Deliver<'a>,
    /// Bytes still to pass over, when the stream starts inside a chunk.
    skip: u64,
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
        ) {
            let total: usize = lengths.iter().map(|length| *length as usize).sum();
            let stream: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let geometry = Geometry::of(&table_of(&lengths, &[(1, total as u64)], 0));
            let start = start.index(total);
            let mut seen = vec![];
            let mut deliver = |chunk: u32, bytes: Vec<u8>| {
                seen.push((chunk, bytes));
                Ok(ControlFlow::Continue(()))
            };
            let mut assembler = Assembler::new(&geometry, start as u64, &mut deliver);
            let mut rest = &stream[start..];
            for (index, piece) in pieces.iter().cycle().enumerate() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                let _ = if index % 2 == 0 { assembler.feed(now)? } else { assembler.take(now.to_vec())? };
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let expected: Vec<(u32, Vec<u8>)> = (0..geometry.chunk_count())
                .map(|chunk| (chunk, geometry.chunk(chunk)))
                .filter(|(_, range)| range.start >= start as u64)
                .map(|(chunk, range)| {
                    let bytes = &stream[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                    (chunk, bytes.to_vec())
                })
                .collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
