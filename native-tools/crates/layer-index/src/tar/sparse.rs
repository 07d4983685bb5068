//! The maps of sparse files: old GNU (in header blocks), PAX 0.0 and 0.1 (in records), PAX 1.0 (before the data).

use archive_format::erofs::chunking;
use archive_format::model::{Extent, FileData};

use super::header::{Block, Fault, field, number};
use super::pax::{PaxRecords, SPARSE_MAP, decimal};
use crate::entry::Stretch;

/// Which kind of sparse map an entry's PAX records announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaxSparse {
    /// No sparse file, or of a version nobody knows.
    None,
    /// The map is in the records (0.0, 0.1).
    InRecords,
    /// The map stands before the data (1.0).
    BeforeData,
}

pub(crate) fn announced(records: &PaxRecords) -> PaxSparse {
    let value = |key: &[u8]| records.get(key).map_or(&[][..], Vec::as_slice);
    match (value(b"GNU.sparse.major"), value(b"GNU.sparse.minor")) {
        (b"0", b"0" | b"1") => PaxSparse::InRecords,
        (b"1", b"0") => PaxSparse::BeforeData,
        (b"", b"") if !value(SPARSE_MAP).is_empty() => PaxSparse::InRecords,
        _ => PaxSparse::None,
    }
}

/// A map while it is read: offset and length pairs, not yet checked.
#[derive(Debug, Default)]
pub(crate) struct SparseMap {
    pairs: Vec<(i64, i64)>,
}

impl SparseMap {
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Takes the entries of an old GNU header (4) or extension block (21); true when another extension follows.
    pub(crate) fn take_gnu(&mut self, block: &Block, is_extension: bool) -> Result<bool, Fault> {
        let (start, count) = if is_extension { (0, 21) } else { (386, 4) };
        for entry in 0..count {
            let at = start + entry * 24;
            if field(block, at, 1) == [0] {
                break;
            }
            let offset = number(field(block, at, 12))?;
            let length = number(field(block, at + 12, 12))?;
            self.pairs.push((offset, length));
        }
        Ok(field(block, start + count * 24, 1) != [0])
    }

    pub(crate) fn from_records(records: &PaxRecords) -> Result<Self, Fault> {
        let count = records
            .get(&b"GNU.sparse.numblocks"[..])
            .and_then(|value| decimal(value))
            .and_then(|count| usize::try_from(count).ok())
            .ok_or("the sparse map has no count")?;
        let map = records.get(SPARSE_MAP).map_or(&[][..], Vec::as_slice);
        let mut numbers = map
            .split(|byte| *byte == b',')
            .filter(|_| !map.is_empty())
            .map(|text| decimal(text).ok_or("the sparse map holds something else than numbers"));
        let mut pairs = Vec::new();
        while let Some(offset) = numbers.next() {
            let length = numbers
                .next()
                .ok_or("the sparse map has an odd number of values")?;
            pairs.push((offset?, length?));
        }
        if pairs.len() != count {
            return Err("the sparse map has another length than its count");
        }
        Ok(Self { pairs })
    }

    /// The stretches with data: inside the file, in order, empty ones left out, neighbours joined.
    pub(crate) fn stretches(self, size: u64) -> Result<Vec<Stretch>, Fault> {
        let mut end = 0u64;
        let mut stretches: Vec<Stretch> = Vec::new();
        for (offset, length) in self.pairs {
            let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else {
                return Err("the sparse map holds a negative number");
            };
            if offset < end || offset.saturating_add(length) > size {
                return Err("the sparse map is out of order or leaves the file");
            }
            end = offset + length;
            match stretches.last_mut() {
                _ if length == 0 => {}
                Some(last) if last.offset + last.length == offset => last.length += length,
                _ => stretches.push(Stretch { offset, length }),
            }
        }
        Ok(stretches)
    }
}

/// The text map of format 1.0: a count, then pairs, one number a line, padded to a block.
#[derive(Debug, Default)]
pub(crate) struct TextMap {
    text: Vec<u8>,
    newlines: u64,
    count: Option<u64>,
}

impl TextMap {
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The number of pairs the map says it has, once that is known.
    pub(crate) fn claimed(&self) -> usize {
        self.count
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or_default()
    }

    /// Takes a block; the map when this was its last one. `max_pairs` bounds what the count may claim.
    pub(crate) fn take(
        &mut self,
        block: &Block,
        max_pairs: u64,
    ) -> Result<Option<SparseMap>, Fault> {
        self.text.extend_from_slice(block);
        self.newlines += block
            .iter()
            .filter(|byte| **byte == b'\n')
            .fold(0, |count, _| count + 1);
        if self.count.is_none() && self.newlines > 0 {
            let count = self
                .lines()
                .next()
                .and_then(decimal)
                .and_then(|count| u64::try_from(count).ok())
                .ok_or("the sparse map's count is no number")?;
            self.count = Some(count.min(max_pairs.saturating_add(1)));
        }
        match self.count {
            Some(count) if self.newlines > count.saturating_mul(2) => self.parse(count).map(Some),
            _ => Ok(None),
        }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|byte| *byte == b'\n')
    }

    fn parse(&self, count: u64) -> Result<SparseMap, Fault> {
        let mut numbers = self
            .lines()
            .skip(1)
            .map(|line| decimal(line).ok_or("the sparse map holds something else than numbers"));
        let mut pairs = Vec::new();
        for _ in 0..count {
            let (Some(offset), Some(length)) = (numbers.next(), numbers.next()) else {
                return Err("the sparse map is too short");
            };
            pairs.push((offset?, length?));
        }
        Ok(SparseMap { pairs })
    }
}

/// Whether the metadata image can point at the stretches where they lie (their data begins on a block): everything on
/// block boundaries, the last stretch may end with the file, and not too many chunk indexes at the grain that takes.
pub(crate) fn reachable_in_place(size: u64, stretches: &[Stretch]) -> bool {
    let mut device_offset = 0;
    let extents = stretches
        .iter()
        .map(|stretch| {
            let extent = Extent {
                file_offset: stretch.offset,
                device: 0,
                device_offset,
                length: stretch.length,
            };
            device_offset += stretch.length;
            extent
        })
        .collect();
    let file = FileData {
        size,
        extents,
        inline: None,
    };
    chunking(&file).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(pairs: &[(i64, i64)], size: u64) -> Result<Vec<(u64, u64)>, Fault> {
        let map = SparseMap {
            pairs: pairs.to_vec(),
        };
        let stretches = map.stretches(size)?;
        Ok(stretches
            .iter()
            .map(|stretch| (stretch.offset, stretch.length))
            .collect())
    }

    #[test]
    fn a_map_is_ordered_and_inside_the_file() {
        assert_eq!(
            stretches(&[(0, 512), (512, 512), (4096, 0)], 4096),
            Ok(vec![(0, 1024)])
        );
        for (pairs, size) in [
            (&[(0, 513)][..], 512),
            (&[(512, 512), (0, 512)], 4096),
            (&[(0, 1024), (512, 512)], 4096),
            (&[(-1, 512)], 4096),
            (&[(0, -1)], 4096),
            (&[(i64::MAX, i64::MAX)], 4096),
        ] {
            assert!(stretches(pairs, size).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn only_block_boundaries_are_reachable_in_place() {
        let reachable = |pairs: &[(u64, u64)], size| {
            let stretches: Vec<_> = pairs
                .iter()
                .map(|(offset, length)| Stretch {
                    offset: *offset,
                    length: *length,
                })
                .collect();
            reachable_in_place(size, &stretches)
        };
        assert!(reachable(&[(4096, 512), (8192, 100)], 8292));
        assert!(reachable(&[], 1 << 44));
        assert!(!reachable(&[(4096, 100)], 8192));
        assert!(!reachable(&[(100, 512)], 8192));
        assert!(!reachable(&[(1 << 40, 4096)], (1 << 40) + 8192));
    }
}
