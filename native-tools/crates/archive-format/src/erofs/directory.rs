//! The blocks of a directory, written and read.

use super::layout::{BLOCK, DIRENT_BYTES};
use crate::FormatError;
use crate::tree::MAX_NAME_BYTES;
use crate::wire::Cursor;

/// A name to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) nid: u64,
    pub(crate) file_type: u8,
}

/// Bytes of a directory with these names (sorted, `.` and `..` among them).
pub(crate) fn size_of<'a>(names: impl Iterator<Item = &'a [u8]>) -> usize {
    let (mut full_blocks, mut used) = (0, 0);
    for name in names {
        let needed = DIRENT_BYTES + name.len();
        if used + needed > BLOCK {
            full_blocks += 1;
            used = 0;
        }
        used += needed;
    }
    full_blocks * BLOCK + used
}

/// Writes the entries (sorted by name): each block has its entries, then their names; the last one ends with its last name.
pub(crate) fn encode(entries: &[Entry<'_>]) -> Result<Vec<u8>, FormatError> {
    let mut out = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest
            .iter()
            .take_while(|entry| {
                used += DIRENT_BYTES + entry.name.len();
                used <= BLOCK
            })
            .count();
        let (block, later) = rest
            .split_at_checked(fitting.max(1))
            .ok_or_else(|| FormatError::input("a directory block without entries"))?;
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        let mut name_offset = block.len() * DIRENT_BYTES;
        for entry in block {
            let offset = u16::try_from(name_offset)
                .map_err(|_| FormatError::input("a name that does not fit into a block"))?;
            out.extend(entry.nid.to_le_bytes());
            out.extend(offset.to_le_bytes());
            out.extend([entry.file_type, 0]);
            name_offset += entry.name.len();
        }
        for entry in block {
            out.extend(entry.name);
        }
        rest = later;
    }
    Ok(out)
}

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The name; `.` and `..` are among them.
    pub name: &'a [u8],
    /// What it names.
    pub nid: u64,
    /// Type byte: 1 file, 2 directory, 3 and 4 devices, 5 fifo, 6 socket, 7 symlink.
    pub file_type: u8,
}

/// Places are `block << PLACE_BITS | entry`: a block has at most 42 entries.
const PLACE_BITS: u32 = 6;

/// The names of a directory, block by block.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    nid: u64,
    blocks: &'a [u8],
    tail: &'a [u8],
    /// The block under way.
    block: &'a [u8],
    /// Next entry in it.
    entry: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(nid: u64, blocks: &'a [u8], tail: &'a [u8]) -> Self {
        Self {
            nid,
            blocks,
            tail,
            block: &[],
            entry: 0,
        }
    }

    fn bad(&self, what: &str) -> FormatError {
        FormatError::corrupt(format!("erofs: directory {}: {what}", self.nid))
    }

    /// Goes to the block that would hold `name`: blocks are in name order.
    pub(crate) fn seek_block(&mut self, name: &[u8]) -> Result<(), FormatError> {
        let mut low = 0;
        let mut high = self.blocks.len().div_ceil(BLOCK);
        while low < high {
            let middle = low + (high - low) / 2;
            let start = middle * BLOCK;
            let end = self.blocks.len().min(start + BLOCK);
            let block = self.blocks.get(start..end).unwrap_or_default();
            if self.entry_of(block, 0)?.name <= name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let start = low.saturating_sub(1) * BLOCK;
        self.blocks = self.blocks.get(start..).unwrap_or_default();
        Ok(())
    }

    /// How many entries a block has: the first name begins where they end.
    fn count_of(&self, block: &[u8]) -> Result<usize, FormatError> {
        let offset = name_offset(block, 0).ok_or_else(|| self.bad("a block without entries"))?;
        if offset == 0 || !offset.is_multiple_of(DIRENT_BYTES) || offset >= block.len() {
            return Err(self.bad("names at an odd place"));
        }
        Ok(offset / DIRENT_BYTES)
    }

    fn entry_of(&self, block: &'a [u8], index: usize) -> Result<DirEntry<'a>, FormatError> {
        let count = self.count_of(block)?;
        let raw = block
            .get(index * DIRENT_BYTES..(index + 1) * DIRENT_BYTES)
            .ok_or_else(|| self.bad("an entry outside its block"))?;
        let mut cursor = Cursor::new(raw, "erofs directory entry");
        let nid = cursor.u64()?;
        let start = usize::from(cursor.u16()?);
        let file_type = cursor.u8()?;
        cursor.zeros(1)?;
        let end = if index + 1 < count {
            name_offset(block, index + 1)
        } else {
            Some(block.len())
        };
        let name = end
            .and_then(|end| block.get(start..end))
            .ok_or_else(|| self.bad("names out of order"))?;
        let (name, padding) = name.split_at(
            name.iter()
                .position(|byte| *byte == 0)
                .unwrap_or(name.len()),
        );
        let padded =
            padding.is_empty() || index + 1 == count && padding.iter().all(|byte| *byte == 0);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(&b'/') || !padded {
            return Err(self.bad("a name that is none"));
        }
        Ok(DirEntry {
            name,
            nid,
            file_type,
        })
    }

    /// The entry at a place and the place of the next one; `None` behind the last. Place 0 is the first entry, every other
    /// place comes from here and is a pure function of the directory's bytes.
    pub(crate) fn at(&self, place: u64) -> Result<Option<(DirEntry<'a>, u64)>, FormatError> {
        let mut block_number = place >> PLACE_BITS;
        let mut index = place & ((1 << PLACE_BITS) - 1);
        while let Some(block) = self.block_at(block_number) {
            let count = self.count_of(block)? as u64;
            if index < count {
                let entry = self.entry_of(block, usize::try_from(index).unwrap_or(usize::MAX))?;
                let next = match index + 1 < count {
                    true => block_number << PLACE_BITS | (index + 1),
                    false => (block_number + 1) << PLACE_BITS,
                };
                return Ok(Some((entry, next)));
            }
            (block_number, index) = (block_number + 1, 0);
        }
        Ok(None)
    }

    fn block_at(&self, number: u64) -> Option<&'a [u8]> {
        let whole = self.blocks.len().div_ceil(BLOCK);
        let number = usize::try_from(number).ok()?;
        if number >= whole {
            return (number == whole && !self.tail.is_empty()).then_some(self.tail);
        }
        let start = number * BLOCK;
        self.blocks.get(start..self.blocks.len().min(start + BLOCK))
    }

    fn advance(&mut self) -> Result<Option<DirEntry<'a>>, FormatError> {
        if self.block.is_empty() || self.entry >= self.count_of(self.block)? {
            let source = if self.blocks.is_empty() {
                &mut self.tail
            } else {
                &mut self.blocks
            };
            let (block, rest) = source.split_at(source.len().min(BLOCK));
            *source = rest;
            self.block = block;
            self.entry = 0;
            if block.is_empty() {
                return Ok(None);
            }
        }
        self.entry += 1;
        self.entry_of(self.block, self.entry - 1).map(Some)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<DirEntry<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            (self.block, self.blocks, self.tail) = (&[], &[], &[]);
        }
        next.transpose()
    }
}

fn name_offset(block: &[u8], index: usize) -> Option<usize> {
    let at = index * DIRENT_BYTES + 8;
    let (bytes, _) = block.get(at..)?.split_first_chunk()?;
    Some(usize::from(u16::from_le_bytes(*bytes)))
}
