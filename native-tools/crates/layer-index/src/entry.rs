//! What one tar entry says, after headers are merged and names cleaned.

use std::collections::BTreeMap;

use archive_format::model::{DeviceNumber, Timestamp};
use serde::{Deserialize, Serialize};

/// One entry of a layer, in stream order. Whiteouts are ordinary entries here; the merge knows them by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Cleaned path relative to the root, without leading or trailing `/`; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Extended attributes that an image may carry, by whole name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The type of an entry with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular(EntryData),
    /// Another name of an entry.
    HardLink {
        /// Cleaned path relative to the root.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// The target, verbatim.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
}

/// Where a regular file's bytes are in the layer's plain stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryData {
    /// Logical size.
    pub size: u64,
    /// Offset of the first data byte in the plain stream (for a sparse file: after its map).
    pub offset: u64,
    /// The stretches of a sparse file; `None`: the data is the whole file.
    pub sparse: Option<Sparse>,
    /// The whole content of a file of at most [`INLINE_BYTES`].
    pub inline: Option<Vec<u8>>,
}

/// Files up to this size are carried in the index, for the metadata image to hold them.
pub const INLINE_BYTES: u64 = 256;

/// The data of a sparse file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse {
    /// Stretches with data in file order, none empty. Their bytes follow each other in the plain stream.
    pub stretches: Vec<Stretch>,
    /// The bytes of all stretches one after the other, when they cannot be reached where they lie.
    pub relocated: Option<Vec<u8>>,
}

/// A stretch of a sparse file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Offset in the file.
    pub offset: u64,
    /// Length, not zero.
    pub length: u64,
}

/// What was left out of a layer on purpose, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warnings {
    /// `trusted.overlay.*` and `user.overlay.*`: they would steer an overlay put on top.
    pub dropped_overlay_xattrs: u64,
    /// `security.selinux`, `system.nfs4_acl`: they belong to the machine that made the layer.
    pub dropped_host_xattrs: u64,
    /// Attributes that Linux has no place for (unknown name spaces, `user.*` on links and devices).
    pub dropped_unsupported_xattrs: u64,
    /// PAX global headers: engines ignore them, so do we.
    pub ignored_global_headers: u64,
}
