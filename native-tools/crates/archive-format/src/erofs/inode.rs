//! An inode as a metadata image stores it.

use super::layout::*;
use crate::FormatError;
use crate::model::{DeviceNumber, Timestamp};

/// An inode as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InodeInfo {
    /// Its address in the image: a pure function of the archive, good as a FUSE node id.
    pub nid: u64,
    /// The number the writer gave: 1 + rank of its first path.
    pub number: u32,
    /// Permission bits with type bits.
    pub mode: u16,
    /// Size in bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Link count.
    pub links: u32,
    /// Layout, 0, 2 or 4.
    pub(super) layout: u16,
    /// First block, chunk format or device number.
    pub(super) union: u32,
    /// Bytes of xattrs behind the inode.
    pub(super) xattr_bytes: usize,
}

impl InodeInfo {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.mode & S_IFMT == S_IFREG
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode & S_IFMT == S_IFLNK
    }

    /// The number of a character or block device.
    #[must_use]
    pub fn device(&self) -> Option<DeviceNumber> {
        matches!(self.mode & S_IFMT, S_IFCHR | S_IFBLK).then(|| decode_device(self.union))
    }

    /// The device number in the kernel's 32-bit encoding; 0 for what is no device.
    #[must_use]
    pub fn encoded_device(&self) -> u32 {
        self.device().map_or(0, |_| self.union)
    }

    /// Whether it has extended attributes.
    #[must_use]
    pub fn has_xattrs(&self) -> bool {
        self.xattr_bytes > 0
    }

    /// Type byte of directory entries that name it.
    #[must_use]
    pub fn file_type(&self) -> u8 {
        dirent_type(self.mode).unwrap_or(0)
    }

    pub(super) fn behind(&self) -> usize {
        usize::try_from(self.nid).unwrap_or(usize::MAX) * INODE_SLOT
            + INODE_BYTES
            + self.xattr_bytes
    }

    pub(super) fn bad(&self, what: &str) -> FormatError {
        FormatError::corrupt(format!("erofs: inode {}: {what}", self.nid))
    }
}
