use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, read};

/// One read: long enough that a mount's read-ahead runs, short enough that two of them do not count.
const BUFFER_BYTES: usize = 1 << 20;
/// Holes are compared in blocks: the smallest that ext4, xfs and btrfs keep.
const BLOCK_BYTES: u64 = 4096;

/// The two buffers of a comparison, used for every file in turn.
pub(crate) struct Buffers {
    left: Vec<u8>,
    right: Vec<u8>,
}

/// Where two contents part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parting {
    pub(crate) offset: u64,
    /// Absent: the file ends here.
    pub(crate) left: Option<u8>,
    pub(crate) right: Option<u8>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            left: vec![0; BUFFER_BYTES],
            right: vec![0; BUFFER_BYTES],
        }
    }

    /// Reads both files to their end and counts the bytes that were alike. The error says which side it was.
    pub(crate) fn first_parting(
        &mut self,
        left: &OwnedFd,
        right: &OwnedFd,
        alike: &mut u64,
    ) -> Result<Option<Parting>, (Side, Errno)> {
        let mut offset = 0;
        loop {
            let a = fill(left, &mut self.left).map_err(|error| (Side::Left, error))?;
            let b = fill(right, &mut self.right).map_err(|error| (Side::Right, error))?;
            if a != b {
                let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
                return Ok(Some(Parting {
                    offset: offset + same as u64,
                    left: a.get(same).copied(),
                    right: b.get(same).copied(),
                }));
            }
            let length = a.len() as u64;
            offset += length;
            *alike += length;
            if length < BUFFER_BYTES as u64 {
                return Ok(None);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Reads until the buffer is full or the file ends: two filesystems may cut reads differently.
fn fill<'a>(file: &OwnedFd, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read(file, rest) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

/// The data stretches of a file as `first-last` blocks of 4096 bytes, joined by commas.
pub(crate) fn data_map(file: &OwnedFd, size_bytes: u64) -> Result<String, Errno> {
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = seek(file, SeekFrom::Hole(start))?;
        let (first, last) = (
            start / BLOCK_BYTES,
            end.saturating_sub(1).max(start) / BLOCK_BYTES,
        );
        match stretches.last_mut() {
            Some((_, before)) if first <= *before + 1 => *before = last,
            _ => stretches.push((first, last)),
        }
        if end <= at {
            break;
        }
        at = end;
    }
    let texts: Vec<String> = stretches
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    Ok(texts.join(","))
}
