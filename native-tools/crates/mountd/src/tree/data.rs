//! The bytes of a file: holes, stretches on devices, or bytes in the metadata image.

use archive_format::erofs::InodeInfo;
use archive_format::model::Extent;

use super::{TreeFiles, damaged};
use crate::fuse::{FsError, Seek};

/// A hole or data is looked for in steps of so many chunks, so that one request takes bounded memory.
const SEEK_CHUNKS: u64 = 1 << 16;

/// A part of a read that lies on one device.
struct Piece {
    device: u16,
    device_offset: u64,
    /// Where it goes in the buffer.
    start: usize,
    length: usize,
}

impl TreeFiles {
    /// Whether no byte of a range must be fetched.
    pub(super) fn is_at_hand(
        &self,
        inode: &InodeInfo,
        offset: u64,
        length: usize,
    ) -> Result<bool, FsError> {
        if !self.metadata.is_on_devices(inode) {
            return Ok(true);
        }
        Ok(self.pieces(inode, offset, length)?.iter().all(|piece| {
            self.devices
                .get(usize::from(piece.device))
                .is_none_or(|device| device.is_ready(piece.device_offset, piece.length))
        }))
    }

    pub(super) fn read_data(
        &self,
        inode: &InodeInfo,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), FsError> {
        if !inode.is_regular() {
            return Err(FsError::Invalid);
        }
        if !self.metadata.is_on_devices(inode) {
            return self
                .metadata
                .read_inline(inode, offset, buffer)
                .map_err(damaged);
        }
        let pieces = self.pieces(inode, offset, buffer.len())?;
        let whole = pieces.iter().map(|piece| piece.length).sum::<usize>() == buffer.len();
        if !whole {
            buffer.fill(0);
        }
        for piece in pieces {
            let device = self.devices.get(usize::from(piece.device));
            let part = buffer.get_mut(piece.start..piece.start + piece.length);
            device
                .zip(part)
                .ok_or(FsError::Io)
                .and_then(|(device, part)| device.read(piece.device_offset, part))?;
        }
        Ok(())
    }

    /// The stretches of a range that have data; one allocation for the list, which has one element for most files.
    fn pieces(&self, inode: &InodeInfo, offset: u64, length: usize) -> Result<Vec<Piece>, FsError> {
        let end = offset.saturating_add(length as u64).min(inode.size);
        let extents = self
            .metadata
            .extents_within(inode, offset..end)
            .map_err(damaged)?;
        let cut = |extent: Extent| {
            let from = extent.file_offset.max(offset);
            let to = (extent.file_offset + extent.length).min(end);
            (from < to).then(|| Piece {
                device: extent.device,
                device_offset: extent.device_offset + (from - extent.file_offset),
                start: usize::try_from(from - offset).unwrap_or(usize::MAX),
                length: usize::try_from(to - from).unwrap_or(usize::MAX),
            })
        };
        Ok(extents.into_iter().filter_map(cut).collect())
    }

    /// lseek(2) with SEEK_DATA or SEEK_HOLE: the end of the file is a hole.
    pub(super) fn seek_data(
        &self,
        inode: &InodeInfo,
        offset: u64,
        what: Seek,
    ) -> Result<u64, FsError> {
        if offset >= inode.size {
            return Err(FsError::BehindEnd);
        }
        if !self.metadata.is_on_devices(inode) {
            return Ok(match what {
                Seek::Data => offset,
                Seek::Hole => inode.size,
            });
        }
        let step = self.metadata.chunk_bytes(inode).saturating_mul(SEEK_CHUNKS);
        let mut at = offset;
        while at < inode.size {
            let end = at.saturating_add(step).min(inode.size);
            let extents = self.metadata.extents_within(inode, at..end);
            for extent in extents.map_err(damaged)? {
                let extent_end = extent.file_offset + extent.length;
                match what {
                    Seek::Data if extent_end > at => return Ok(extent.file_offset.max(at)),
                    Seek::Hole if extent.file_offset > at => return Ok(at),
                    Seek::Hole => at = at.max(extent_end),
                    Seek::Data => (),
                }
            }
            if what == Seek::Hole && at < end {
                return Ok(at);
            }
            at = at.max(end);
        }
        match what {
            Seek::Data => Err(FsError::BehindEnd),
            Seek::Hole => Ok(inode.size),
        }
    }
}
