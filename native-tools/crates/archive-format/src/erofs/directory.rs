//! The blocks of a directory.

use super::layout::{BLOCK, DIRENT_BYTES};
use crate::FormatError;

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
