//! The merged file tree of an image, as the writers take it and the readers give it back.

use std::collections::BTreeMap;

/// Index of an inode in [`Image::inodes`].
pub type InodeId = u32;

/// A whole image: inodes in an arena; names live in the directories. Hard links are several names for one inode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Inode 0 is the root directory.
    pub inodes: Vec<Inode>,
}

/// Seconds and nanoseconds since 1970; seconds may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanos: u32,
}

/// One inode. Link counts are derived: names of a file, 2 + subdirectories of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Permission bits with setuid, setgid and sticky: `mode & 0o7777`.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Extended attributes by whole name (`user.x`, `security.capability`), sorted by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it is.
    pub kind: Kind,
}

/// The type of an inode with what belongs to the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory and its names (any byte but NUL and `/`).
    Directory {
        /// Children by name, in byte order.
        children: BTreeMap<Vec<u8>, InodeId>,
    },
    /// A regular file.
    Regular(FileData),
    /// A symbolic link with its target, verbatim.
    Symlink {
        /// Any bytes but NUL.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Major and minor number of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Up to 12 bits on Linux.
    pub major: u32,
    /// Up to 20 bits on Linux.
    pub minor: u32,
}

/// Where the bytes of a regular file are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileData {
    /// Logical size; what no extent covers reads as zeros.
    pub size: u64,
    /// Stretches of data in file order, not overlapping. An ordinary file, also an empty one, has exactly one from
    /// offset 0 over its whole size: it says which layer and where the payload starts.
    pub extents: Vec<Extent>,
    /// The whole content, kept for small files so that the metadata image can hold it (at most a few hundred bytes).
    pub inline: Option<Vec<u8>>,
}

/// A stretch of file data on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file.
    pub file_offset: u64,
    /// Which device holds it: 0-based index into the devices (distinct layers in order, then `extra`).
    pub device: u16,
    /// Offset in the device's plain stream, a multiple of 512.
    pub device_offset: u64,
    /// Length in bytes.
    pub length: u64,
}
